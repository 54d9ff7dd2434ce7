// SPDX-License-Identifier: LGPL-2.1-or-later
//
// hugetlb with eager arming: one unit is one huge page (512 pages), reads are clean, writes and
// re-arming work as elsewhere with a range aligned to huge pages and no page limit. A limit that
// cuts a huge page makes mainline pass over it; ours does not. The library never sets one. Reserves
// four huge pages for the time of the test (needs root).
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    constexpr const char* nr_hugepages = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    std::string before;
    if (!read_file(nr_hugepages, before))
        skip("%s: %s", nr_hugepages, std::strerror(errno));
    set_until_exit(nr_hugepages, std::to_string(std::atoi(before.c_str()) + 4));
    void* const probe = mmap(nullptr, 4 * huge_page_size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (probe == MAP_FAILED)
        skip("no four huge pages can be had: %s", std::strerror(errno));
    munmap(probe, 4 * huge_page_size);

    const Memory memory(4 * pages_per_huge_page, huge_page_size,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
    tracker.watch(memory);
    tracker.arm(memory);
    CHECK_PAGES(tracker.pages(memory, plain), {});
    CHECK_EQ(memory.read(3 * pages_per_huge_page), 0);
    CHECK_PAGES(tracker.pages(memory, plain), {});

    constexpr std::size_t huge = pages_per_huge_page;
    memory.write(huge + 5);
    CHECK_PAGES(tracker.pages(memory, plain, pm_scan_wp_matching),
                (page_range(huge, 2 * huge - 1)));
    CHECK_PAGES(tracker.pages(memory, plain), {});
    memory.write(huge + 6);
    memory.write(3 * huge);
    Pages expected = page_range(huge, 2 * huge - 1);
    for (const std::size_t page : page_range(3 * huge, 4 * huge - 1))
        expected.push_back(page);
    CHECK_PAGES(tracker.pages(memory, plain, pm_scan_wp_matching), (expected));

    // What a limit inside a huge page does.
    for (std::size_t i = 0; i < 3; ++i)
        memory.write(i * huge);
    PageRegion vec[8];
    PmScanArg arg = scan_arg(memory.start(), memory.size(), plain, pm_scan_wp_matching);
    set_vec(arg, vec, 8);
    arg.max_pages = 100;
    const int count = tracker.scan(arg);
    const std::size_t left = tracker.pages(memory, plain).size() / huge;
    note("max_pages 100 over three written huge pages: %d regions, walk_end at huge page %llu, %zu "
         "still "
         "written",
         count,
         static_cast<unsigned long long>(
             (arg.walk_end - reinterpret_cast<std::uintptr_t>(memory.start())) / huge_page_size),
         left);
    CHECK(count >= 0 && left + static_cast<std::size_t>(count) >= 3); // none consumed unseen
    return finish();
}
