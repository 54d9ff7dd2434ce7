// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Linux 6.12 and newer may split a huge page that is mostly zeros and map the zero-filled pieces to
// the zero page: the qualified scan then calls a page that was written with zeros clean. It cannot
// happen with MADV_NOHUGEPAGE from the start; memory that already has huge pages when it is first
// watched takes the eager way, whose plain mask keeps the page: shown here.
//
// The kernel does it under memory pressure, and only where khugepaged/max_ptes_none is below 511.
// It is provoked by dropping the slab caches, so this test does nothing on a machine with the
// default. In a guest:
//     scripts/vmtest --write /sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none=100 ...
#include "support.h"

#include <algorithm>

using namespace kerneltest;

int main()
{
    require_thp();
    const Tracker tracker;
    std::string limit;
    if (!read_file("/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none", limit) ||
        std::atoi(limit.c_str()) >= static_cast<int>(pages_per_huge_page) - 1)
        skip("this machine never splits underused huge pages (khugepaged/max_ptes_none is 511)");

    const Memory memory(pages_per_huge_page, huge_page_size);
    memory.advise(MADV_HUGEPAGE);
    memory.write(7);
    std::memset(memory.page(9), 0, page_size); // a write, with zeros
    if (const Pages present = tracker.pages(memory, everything);
        present.empty() || (tracker.categories(memory, 7) & page_is_huge) == 0)
        skip("the kernel gave no huge page");
    tracker.watch(memory);
    const Pages before = tracker.pages(memory, plain);
    CHECK(std::binary_search(before.begin(), before.end(), 9));

    for (int attempt = 0; attempt < 20 && (tracker.categories(memory, 7) & page_is_huge) != 0;
         ++attempt) {
        if (!write_file("/proc/sys/vm/drop_caches", "2"))
            skip("/proc/sys/vm/drop_caches: %s", std::strerror(errno));
        usleep(50000);
    }
    if ((tracker.categories(memory, 7) & page_is_huge) != 0)
        skip("the kernel did not split the huge page");

    const Pages qualified_scan = tracker.get(memory);
    const Pages plain_scan = tracker.pages(memory, plain);
    note("split; page 9, written with zeros: the qualified scan %s it, the plain mask %s it",
         std::binary_search(qualified_scan.begin(), qualified_scan.end(), 9) ? "keeps" : "loses",
         std::binary_search(plain_scan.begin(), plain_scan.end(), 9) ? "keeps" : "loses");
    CHECK(std::binary_search(qualified_scan.begin(), qualified_scan.end(), 7));
    CHECK(std::binary_search(plain_scan.begin(), plain_scan.end(), 9));
    return finish();
}
