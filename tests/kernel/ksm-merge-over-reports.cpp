// SPDX-License-Identifier: LGPL-2.1-or-later
//
// KSM merges equal pages behind the program's back and drops their write-protect marks: clean pages
// read as written. Too many, never too few; MADV_UNMERGEABLE keeps them exact
// (ksm-unmergeable-stays-exact).
#include "ksm.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(64);
    run_ksm(false);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    for (std::size_t page = 0; page < memory.pages(); ++page)
        std::memset(memory.page(page), 0x5a, page_size);
    tracker.get_and_reset(memory);
    memory.advise(MADV_MERGEABLE);
    wait_for_ksm([&] { return tracker.get(memory).size() >= memory.pages() / 2; });
    note("64 equal clean pages, after merging: %zu read as written", tracker.get(memory).size());
    CHECK_EQ(memory.read(9), 0x5a);

    // A write to a merged page is seen.
    tracker.get_and_reset(memory);
    memory.write(9);
    const Pages found = tracker.get(memory);
    bool has_nine = false;
    for (const std::size_t page : found)
        has_nine = has_nine || page == 9;
    CHECK(has_nine);
    return finish();
}
