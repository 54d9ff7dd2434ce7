// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/bench/bare_scan.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "abi/linux/pagemap_scan.h"

namespace bench {

using namespace writewatch::abi;

namespace {

constexpr std::size_t page_size = 4096;

} // namespace

BareScan::BareScan() : pagemap_(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC))
{
    PmScanArg arg{};
    arg.size = sizeof arg;
    if (pagemap_ < 0 || ioctl(pagemap_, pagemap_scan_request, &arg) < 0) {
        std::fprintf(stderr, "skipped: PAGEMAP_SCAN: %s\n", std::strerror(errno));
        std::exit(77);
    }
}

BareScan::~BareScan()
{
    close(pagemap_);
}

std::size_t BareScan::get(void* base, std::size_t bytes, bool reset, void** addresses,
                          std::size_t capacity) const
{
    std::array<PageRegion, 512> vector;
    const std::size_t pages = bytes / page_size;
    // Short ranges: the kernel allocates a buffer of the vector's length.
    const std::size_t longest = pages <= 64 ? std::min<std::size_t>(pages, 64) : vector.size();
    std::uint64_t start = reinterpret_cast<std::uintptr_t>(base);
    const std::uint64_t end = start + bytes;
    std::size_t count = 0;
    while (count < capacity && start < end) {
        PmScanArg arg{};
        arg.size = sizeof arg;
        arg.flags = reset ? pm_scan_wp_matching : 0;
        arg.start = start;
        arg.end = end;
        arg.vec = reinterpret_cast<std::uintptr_t>(vector.data());
        arg.vec_len = std::min(longest, capacity - count);
        arg.max_pages = capacity - count;
        arg.category_inverted = page_is_pfnzero;
        arg.category_mask = page_is_written | page_is_pfnzero;
        arg.category_anyof_mask = page_is_present | page_is_swapped;
        arg.return_mask = page_is_written;
        const int regions = ioctl(pagemap_, pagemap_scan_request, &arg);
        if (regions < 0) {
            std::perror("PAGEMAP_SCAN");
            std::exit(1);
        }
        for (int i = 0; i < regions; ++i) {
            const PageRegion& region = vector[static_cast<std::size_t>(i)];
            for (std::uint64_t page = region.start; page < region.end; page += page_size)
                addresses[count++] = reinterpret_cast<void*>(page);
        }
        if (static_cast<std::uint64_t>(regions) < arg.vec_len)
            break; // the vector was not filled: all of the range was seen
        start = arg.walk_end;
    }
    return count;
}

} // namespace bench
