// SPDX-License-Identifier: LGPL-2.1-or-later
//
// With use_zero_pages, KSM replaces a written page of zeros by the zero page: the qualified scan
// then calls it clean, a *lost* write, in memory that allows merging. So watched memory gets
// MADV_UNMERGEABLE, or, with use_zero_pages on, the scan leaves PFNZERO out of its masks: shown
// here, that answer keeps the page.
#include "ksm.h"

#include <algorithm>

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(64);
    run_ksm(true);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    memory.write_all();
    tracker.get_and_reset(memory);
    std::memset(memory.page(7), 0, page_size); // written, with zeros
    CHECK_PAGES(tracker.get(memory), {7});
    memory.advise(MADV_MERGEABLE);
    const bool merged =
        wait_for_ksm([&] { return (tracker.categories(memory, 7) & page_is_pfnzero) != 0; });
    if (!merged)
        skip("KSM did not merge the page into the zero page");

    const Pages found = tracker.get(memory);
    const bool lost = std::find(found.begin(), found.end(), 7) == found.end();
    note("a written page of zeros, merged: the qualified scan %s it", lost ? "loses" : "keeps");

    constexpr Masks without_pfnzero{0, page_is_written, page_is_present | page_is_swapped,
                                    page_is_written};
    const Pages kept = tracker.pages(memory, without_pfnzero);
    CHECK(std::find(kept.begin(), kept.end(), 7) != kept.end());
    return finish();
}
