// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One call reports and re-arms: WP_MATCHING write-protects exactly the pages that it returns, the
// next write to each is seen again, and pages outside the range or not returned (the vector or
// max_pages ended the scan) stay written.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(16);
    tracker.watch(memory);

    memory.write(3);
    memory.write(4);
    memory.write(9);
    CHECK_PAGES(tracker.get(memory), {3, 4, 9}); // a get alone changes nothing
    CHECK_PAGES(tracker.get(memory), {3, 4, 9});
    CHECK_PAGES(tracker.get_and_reset(memory), {3, 4, 9});
    CHECK_PAGES(tracker.get(memory), {});
    memory.write(4);
    CHECK_PAGES(tracker.get_and_reset(memory), {4});

    // Only the range that was asked for.
    memory.write_all();
    PageRegion vec[8];
    PmScanArg arg = scan_arg(memory.page(5), 2 * page_size, qualified, pm_scan_wp_matching);
    set_vec(arg, vec, 8);
    CHECK_EQ(tracker.scan(arg), 1);
    CHECK_PAGES(tracker.get(memory), {0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15});

    // Only what the vector took.
    tracker.get_and_reset(memory);
    for (const std::size_t page : Pages{1, 3, 5, 7})
        memory.write(page);
    arg = scan_arg(memory.start(), memory.size(), qualified, pm_scan_wp_matching);
    set_vec(arg, vec, 2);
    CHECK_EQ(tracker.scan(arg), 2);
    CHECK_PAGES(tracker.get_and_reset(memory), {5, 7});

    // Only max_pages; a region is cut exactly there.
    memory.write_all();
    arg = scan_arg(memory.start(), memory.size(), qualified, pm_scan_wp_matching);
    set_vec(arg, vec, 8);
    arg.max_pages = 6;
    CHECK_EQ(tracker.scan(arg), 1);
    CHECK_EQ(vec[0].start, reinterpret_cast<std::uintptr_t>(memory.start()));
    CHECK_EQ(vec[0].end, reinterpret_cast<std::uintptr_t>(memory.page(6)));
    CHECK_EQ(arg.walk_end, reinterpret_cast<std::uintptr_t>(memory.page(6)));
    CHECK_PAGES(tracker.get(memory), (page_range(6, 15)));
    return finish();
}
