// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Shared memory stays armed while its pages leave the page table: MADV_DONTNEED, swap, truncation
// and growth of the file, and it stays exact: one write dirties one page, also in what was a huge
// page. (With a huge page of shared memory mainline reports all 512 pages of it.)
#include "tests/vm/guest.h"

#include <algorithm>

using namespace guesttest;

namespace {

void leaves_and_returns(const Tracker& tracker)
{
    constexpr std::size_t pages = 64;
    const int fd = memory_file(pages * page_size);
    const Memory memory(pages, page_size, MAP_SHARED, fd);
    tracker.watch(memory);
    tracker.arm(memory);
    memory.write_all();
    CHECK(tracker.pages(memory, plain, pm_scan_wp_matching) == page_range(0, pages - 1));

    memory.advise(MADV_DONTNEED);
    CHECK_PAGES(tracker.pages(memory, plain), {});
    for (std::size_t page = 0; page < pages; ++page)
        memory.read(page);
    CHECK_PAGES(tracker.pages(memory, plain), {});

    memory.advise(MADV_PAGEOUT);
    CHECK_PAGES(tracker.pages(memory, plain), {});
    memory.write(7);
    memory.read(8);
    CHECK_PAGES(tracker.pages(memory, plain), {7});

    if (ftruncate(fd, 32 * page_size) != 0 || ftruncate(fd, pages * page_size) != 0)
        die("ftruncate");
    memory.read(40);
    memory.write(50);
    // Truncated pages may count as written; those below the new end are what they were.
    const Pages found = tracker.pages(memory, plain);
    CHECK(!found.empty() && found.front() == 7 && (found.size() == 1 || found[1] >= 32));
    CHECK(std::find(found.begin(), found.end(), 50) != found.end());
    close(fd);
}

void one_page_of_a_huge_page(const Tracker& tracker)
{
    const int fd = memory_file(2 * huge_page_size);
    const Memory memory(2 * pages_per_huge_page, huge_page_size, MAP_SHARED, fd);
    memory.advise(MADV_HUGEPAGE);
    memory.write_all();
    madvise(memory.start(), memory.size(), MADV_COLLAPSE);
    tracker.watch(memory);
    if ((tracker.categories(memory, 0) & page_is_huge) == 0) {
        note("no huge page of shared memory to be had: not tried");
        close(fd);
        return;
    }

    CHECK(tracker.pages(memory, plain, pm_scan_wp_matching) == page_range(0, memory.pages() - 1));
    CHECK_PAGES(tracker.pages(memory, plain), {});
    memory.write(100);
    CHECK_PAGES(tracker.pages(memory, plain, pm_scan_wp_matching), {100});
    CHECK_PAGES(tracker.pages(memory, plain), {});
    close(fd);
}

} // namespace

int main()
{
    make_zram_swap(16 * 1024);
    set_until_exit("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "advise");
    const Tracker tracker;
    leaves_and_returns(tracker);
    one_page_of_a_huge_page(tracker);
    return finish();
}
