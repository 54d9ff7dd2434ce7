// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Swapping changes nothing: written pages stay reported while they are in swap and after they come
// back, clean pages stay clean, and a page can be reset while it is out. "PRESENT or SWAPPED" is
// needed for the first: PRESENT alone loses the page. Uses the machine's swap; where there is none,
// root gets a swap of its own for the time of the test (a file in the working directory, or an
// unused zram device).
#include "support.h"

#include <sys/stat.h>
#include <sys/swap.h>

using namespace kerneltest;

namespace {

std::string own_swap;      // what swapoff takes
std::string own_swap_file; // what unlink takes

void remove_own_swap()
{
    if (!own_swap.empty())
        swapoff(own_swap.c_str());
    if (!own_swap_file.empty())
        unlink(own_swap_file.c_str());
}

// The header that mkswap writes: version 1, the last usable page, no bad pages, and a magic at the
// end.
bool format_swap(const std::string& path, std::uint32_t pages)
{
    const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    std::vector<char> header(page_size);
    const std::uint32_t fields[3] = {1, pages - 1, 0};
    std::memcpy(header.data() + 1024, fields, sizeof(fields));
    std::memcpy(header.data() + page_size - 10, "SWAPSPACE2", 10);
    const bool ok = pwrite(fd, header.data(), page_size, 0) == static_cast<ssize_t>(page_size);
    fsync(fd);
    close(fd);
    return ok;
}

bool have_swap()
{
    std::string swaps;
    return read_file("/proc/swaps", swaps) && swaps.find('/') != std::string::npos;
}

void make_swap()
{
    constexpr std::uint32_t pages = 4096;
    std::string why;
    std::atexit(remove_own_swap);

    char path[] = "writewatch-swap-XXXXXX";
    const int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) {
        own_swap_file = path;
        // Written, not merely allocated: swap files must not have holes.
        const std::string zeros(page_size, '\0');
        bool ok = fchmod(fd, 0600) == 0;
        for (std::uint32_t i = 0; ok && i < pages; ++i)
            ok = write(fd, zeros.data(), zeros.size()) == static_cast<ssize_t>(zeros.size());
        fsync(fd);
        close(fd);
        if (ok && format_swap(path, pages) && swapon(path, 0) == 0) {
            own_swap = path;
            return;
        }
        why = std::string("a swap file: ") + std::strerror(errno);
    } else {
        why = std::string("a swap file: ") + std::strerror(errno);
    }

    std::string size;
    if (read_file("/sys/block/zram0/disksize", size) && std::atol(size.c_str()) == 0 &&
        write_file("/sys/block/zram0/disksize", std::to_string(pages * page_size)) &&
        format_swap("/dev/zram0", pages) && swapon("/dev/zram0", 0) == 0) {
        own_swap = "/dev/zram0";
        return;
    }
    skip("no swap, and none could be made (%s; zram0: %s)", why.c_str(), std::strerror(errno));
}

} // namespace

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

int main()
{
    const Tracker tracker;
    if (!have_swap())
        make_swap();

    const Memory memory(16);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    const auto page_out = [&] {
        for (int attempt = 0; attempt < 50; ++attempt) {
            memory.advise(MADV_PAGEOUT);
            std::size_t out = 0;
            for (std::size_t page = 0; page < 8; ++page)
                out += (tracker.categories(memory, page) & page_is_swapped) != 0;
            if (out == 8)
                return;
            usleep(20000);
        }
        skip("the kernel did not swap the pages out");
    };

    for (std::size_t page = 0; page < 8; ++page)
        memory.write(page, static_cast<char>(page + 1));
    tracker.get_and_reset(memory);
    memory.write(2, 22);
    memory.write(5, 55);

    page_out();
    CHECK_PAGES(tracker.get(memory), {2, 5});
    CHECK_PAGES(tracker.pages(memory, Masks{page_is_pfnzero, page_is_written | page_is_pfnzero,
                                            page_is_present, page_is_written}),
                {}); // PRESENT alone: lost

    // Back in by reading: the same answer.
    for (std::size_t page = 0; page < 8; ++page)
        CHECK_EQ(memory.read(page), page == 2 ? 22 : page == 5 ? 55 : static_cast<char>(page + 1));
    CHECK_PAGES(tracker.get(memory), {2, 5});

    // Reset while out, in by reading: clean. In by writing: written.
    page_out();
    CHECK_PAGES(tracker.get_and_reset(memory), {2, 5});
    CHECK_PAGES(tracker.get(memory), {});
    CHECK_EQ(memory.read(2), 22);
    CHECK_PAGES(tracker.get(memory), {});
    memory.write(2);
    memory.write(3);
    CHECK_PAGES(tracker.get_and_reset(memory), {2, 3});

    // fork while out: the parent's state stays.
    memory.write(6);
    page_out();
    in_child([&] { CHECK_EQ(memory.read(4), 5); });
    CHECK_PAGES(tracker.get(memory), {6});
    note("swap: %s", own_swap.empty() ? "the machine's" : own_swap.c_str());
    return finish();
}
