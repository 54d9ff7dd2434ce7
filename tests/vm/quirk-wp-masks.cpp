// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A scan that write-protects without reporting (no vector) protects the pages that match and no
// others. Mainline's arms every page of a page table then, whatever the masks say.
#include "tests/kernel/support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(64);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    memory.write(3);  // written
    memory.read(5);   // the zero page
    memory.write(60); // written

    // Arm the zero page only.
    const Masks zero_page{0, page_is_pfnzero, 0, 0};
    PmScanArg arg = scan_arg(memory.start(), memory.size(), zero_page, pm_scan_wp_matching);
    CHECK_EQ(tracker.scan(arg), 0);
    CHECK_PAGES(tracker.get(memory), {3, 60});
    CHECK_EQ(tracker.categories(memory, 5) & page_is_written, 0);

    // The qualified masks arm what is written, and put no markers into what is not populated.
    arg = scan_arg(memory.start(), memory.size(), qualified, pm_scan_wp_matching);
    CHECK_EQ(tracker.scan(arg), 0);
    CHECK_PAGES(tracker.get(memory), {});
    CHECK_EQ(tracker.categories(memory, 20) & page_is_swapped, 0);

    // Masks that match nothing arm nothing.
    memory.write(7);
    const Masks nothing{0, page_is_huge, 0, 0};
    arg = scan_arg(memory.start(), memory.size(), nothing, pm_scan_wp_matching);
    CHECK_EQ(tracker.scan(arg), 0);
    CHECK_PAGES(tracker.get(memory), {7});
    return finish();
}
