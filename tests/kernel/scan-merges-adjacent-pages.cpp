// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Adjacent pages with the same returned categories are one region, across page tables and across
// VMAs: a region's end may lie far behind its start, so pages are counted, never regions.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(2 * pages_per_huge_page, huge_page_size);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    const std::size_t edge = pages_per_huge_page;
    for (std::size_t page = edge - 3; page < edge + 3; ++page)
        memory.write(page);
    CHECK_EQ(tracker.regions(memory, qualified).size(), 1);

    memory.protect(PROT_READ, edge + 1, 1); // three VMAs now
    const std::vector<PageRegion> regions = tracker.regions(memory, qualified);
    CHECK_EQ(regions.size(), 1);
    CHECK_EQ((regions[0].end - regions[0].start) / page_size, 6);
    CHECK_EQ(regions[0].categories, page_is_written);
    return finish();
}
