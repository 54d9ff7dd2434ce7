// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A huge page that was dropped leaves a hole without a page table: clean for the qualified scan on
// every kernel, while the plain mask calls it written or not depending on the release (mainline
// commit 40de8160ca7f). Part of a huge page dropped, likewise.
#include "support.h"

using namespace kerneltest;

int main()
{
    require_thp();
    const Tracker tracker;
    const Memory memory(2 * pages_per_huge_page, huge_page_size);
    memory.advise(MADV_HUGEPAGE);
    tracker.watch(memory);
    memory.write(0);
    memory.write(pages_per_huge_page);
    if ((tracker.categories(memory, 0) & page_is_huge) == 0)
        skip("the kernel gave no huge page");

    memory.advise(MADV_DONTNEED, 0, pages_per_huge_page);
    CHECK_PAGES(tracker.get(memory),
                (page_range(pages_per_huge_page, 2 * pages_per_huge_page - 1)));
    note("plain mask: %zu of 1024 pages written", tracker.pages(memory, plain).size());
    tracker.get_and_reset(memory);
    CHECK_PAGES(tracker.get(memory), {});

    memory.advise(MADV_NOHUGEPAGE);
    memory.write(4);
    CHECK_PAGES(tracker.get_and_reset(memory), {4});
    memory.write(pages_per_huge_page + 8);
    memory.advise(MADV_DONTNEED, pages_per_huge_page, 8); // part of the (split) huge page
    const Pages found = tracker.get(memory);
    CHECK(!found.empty() && found[0] >= pages_per_huge_page + 8);
    return finish();
}
