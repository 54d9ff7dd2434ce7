// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A page that is moved to other memory stays what it was: armed and clean, or written. Soft
// offlining (MADV_SOFT_OFFLINE) migrates exactly the page it is told to; the memory it leaves is
// lost to the guest. Private memory, armed by a scan and empty at first, shared memory, hugetlb,
// and huge pages, which are split for it.
#include "tests/vm/guest.h"

#include <algorithm>

using namespace guesttest;

namespace {

std::uint64_t frame(const Memory& memory, std::size_t page)
{
    std::uint64_t entry = 0;
    const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    const auto at = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(memory.page(page)) /
                                       page_size * sizeof(entry));
    if (fd < 0 || pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
        die("pagemap");
    close(fd);
    return entry & ((1ULL << 55) - 1);
}

// Moves the page; the kernel may find it busy for a moment.
void move(const Memory& memory, std::size_t page)
{
    const std::uint64_t before = frame(memory, page);
    for (int attempt = 0; attempt < 100; ++attempt) {
        if (madvise(memory.page(page), page_size, MADV_SOFT_OFFLINE) == 0) {
            // It comes back with the next access.
            (void)memory.read(page);
            CHECK(frame(memory, page) != before);
            return;
        }
        if (errno == EINVAL || errno == EPERM)
            skip("MADV_SOFT_OFFLINE: %s", std::strerror(errno));
        usleep(10'000);
    }
    die("MADV_SOFT_OFFLINE");
}

// `unit` pages are moved and armed together.
void moved(const char* name, const Tracker& tracker, const Memory& memory, const Masks& masks,
           std::size_t unit)
{
    const std::size_t step = unit;
    for (std::size_t page = 0; page < memory.pages(); page += step)
        memory.write(page, 'a');
    (void)tracker.pages(memory, masks, pm_scan_wp_matching);
    CHECK_PAGES(tracker.pages(memory, masks), {});

    // 1 is written, then moved; 2 is moved, then written; 3 is moved, not written.
    memory.write(1 * step, 'b');
    const Pages first = page_range(step, 2 * step - 1);
    if (tracker.pages(memory, masks) != first)
        note("%s: a write is reported as %s", name,
             to_string(tracker.pages(memory, masks)).c_str());
    move(memory, 1 * step);
    CHECK(tracker.pages(memory, masks) == first);
    move(memory, 2 * step);
    move(memory, 3 * step);
    CHECK(tracker.pages(memory, masks) == first);
    memory.write(2 * step, 'c');
    CHECK(tracker.pages(memory, masks, pm_scan_wp_matching) == page_range(step, 3 * step - 1));
    CHECK_PAGES(tracker.pages(memory, masks), {});
    CHECK(memory.read(1 * step) == 'b' && memory.read(2 * step) == 'c' &&
          memory.read(3 * step) == 'a');
    note("%s: moved", name);
}

} // namespace

int main()
{
    set_until_exit("/proc/sys/vm/nr_hugepages", "12");
    const Tracker tracker;
    {
        const Memory memory(8);
        memory.advise(MADV_NOHUGEPAGE);
        tracker.watch(memory);
        moved("private", tracker, memory, qualified, 1);
    }
    {
        const Memory memory(8);
        memory.advise(MADV_NOHUGEPAGE);
        tracker.watch(memory);
        tracker.arm(memory);
        moved("private, armed empty", tracker, memory, plain, 1);
    }
    {
        const int fd = memory_file(8 * page_size);
        const Memory memory(8, page_size, MAP_SHARED, fd);
        tracker.watch(memory);
        tracker.arm(memory);
        moved("shared", tracker, memory, plain, 1);
        close(fd);
    }
    {
        const Memory memory(4 * pages_per_huge_page, huge_page_size,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
        tracker.watch(memory);
        moved("hugetlb", tracker, memory, plain, pages_per_huge_page);
    }
    {
        // A huge page: one page of it is moved, so it is split first; what was armed as one stays
        // armed.
        const Memory memory(pages_per_huge_page, huge_page_size);
        memory.advise(MADV_HUGEPAGE);
        memory.write_all();
        tracker.watch(memory);
        const bool huge = (tracker.categories(memory, 0) & page_is_huge) != 0;
        (void)tracker.pages(memory, plain, pm_scan_wp_matching);
        move(memory, 7);
        CHECK_PAGES(tracker.pages(memory, plain), {});
        memory.write(7);
        memory.write(8);
        CHECK_PAGES(tracker.pages(memory, plain), {7, 8});
        note("huge page: %s", huge ? "moved in part" : "there was none");
    }
    return finish();
}
