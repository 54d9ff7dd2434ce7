// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/bench/kernel_tracking.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/linux/pagemap_scan.h"
#include "abi/linux/userfaultfd.h"
#include "shim/bench/peer.h"

namespace bench {

using namespace writewatch::abi;

namespace {

std::uint64_t address(const void* pointer)
{
    return reinterpret_cast<std::uintptr_t>(pointer);
}

Unavailable unavailable(const char* step)
{
    return Unavailable(std::string(step) + ": " + std::strerror(errno));
}

void set_protection(int fd, char* base, std::size_t bytes, std::uint64_t mode)
{
    uffdio_writeprotect argument{};
    argument.range = {address(base), bytes};
    argument.mode = mode;
    if (ioctl(fd, UFFDIO_WRITEPROTECT, &argument) != 0)
        die("UFFDIO_WRITEPROTECT", errno);
}

} // namespace

WriteProtectFd::WriteProtectFd(std::uint64_t features)
    : fd_(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | uffd_user_mode_only)))
{
    if (fd_ < 0)
        throw unavailable("userfaultfd");
    uffdio_api api{};
    api.api = UFFD_API;
    api.features = features;
    if (ioctl(fd_, UFFDIO_API, &api) != 0) {
        const Unavailable error = unavailable("UFFDIO_API");
        close(fd_);
        throw Unavailable(error);
    }
}

WriteProtectFd::~WriteProtectFd()
{
    close(fd_);
}

void WriteProtectFd::watch(char* base, std::size_t bytes) const
{
    uffdio_register argument{};
    argument.range = {address(base), bytes};
    argument.mode = UFFDIO_REGISTER_MODE_WP;
    if (ioctl(fd_, UFFDIO_REGISTER, &argument) != 0)
        die("UFFDIO_REGISTER", errno);
}

void WriteProtectFd::protect(char* base, std::size_t bytes) const
{
    set_protection(fd_, base, bytes, UFFDIO_WRITEPROTECT_MODE_WP);
}

void WriteProtectFd::unprotect(char* base, std::size_t bytes) const
{
    set_protection(fd_, base, bytes, 0);
}

PagemapFd::PagemapFd() : fd_(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC))
{
    PmScanArg argument{};
    argument.size = sizeof argument;
    if (fd_ < 0 || ioctl(fd_, pagemap_scan_request, &argument) < 0) {
        const Unavailable error = unavailable("PAGEMAP_SCAN");
        if (fd_ >= 0)
            close(fd_);
        throw Unavailable(error);
    }
}

PagemapFd::~PagemapFd()
{
    close(fd_);
}

std::size_t PagemapFd::collect(const ScanMasks& masks, std::size_t vector_length, bool reset,
                               char* base, std::size_t bytes, void** out,
                               std::size_t capacity) const
{
    std::array<PageRegion, 512> vector;
    // The kernel allocates a buffer of the vector's length: no longer than the range has pages.
    const std::size_t longest = std::min({bytes / page_size, vector_length, vector.size()});
    std::uint64_t start = address(base);
    const std::uint64_t end = start + bytes;
    std::size_t count = 0;
    while (count < capacity && start < end) {
        PmScanArg argument{};
        argument.size = sizeof argument;
        argument.flags = reset ? pm_scan_wp_matching : 0;
        argument.start = start;
        argument.end = end;
        argument.vec = address(vector.data());
        argument.vec_len = std::min(longest, capacity - count);
        argument.max_pages = capacity - count;
        argument.category_inverted = masks.inverted;
        argument.category_mask = masks.category;
        argument.category_anyof_mask = masks.any_of;
        argument.return_mask = page_is_written;
        const int regions = ioctl(fd_, pagemap_scan_request, &argument);
        if (regions < 0)
            die("PAGEMAP_SCAN", errno);
        for (int i = 0; i < regions; ++i) {
            const PageRegion& region = vector[static_cast<std::size_t>(i)];
            for (std::uint64_t page = region.start; page < region.end; page += page_size)
                out[count++] = reinterpret_cast<void*>(page);
        }
        if (static_cast<std::uint64_t>(regions) < argument.vec_len)
            break; // the vector was not filled: all of the range was seen
        start = argument.walk_end;
    }
    return count;
}

void PagemapFd::reset_all(char* base, std::size_t bytes) const
{
    PmScanArg argument{};
    argument.size = sizeof argument;
    argument.flags = pm_scan_wp_matching;
    argument.start = address(base);
    argument.end = address(base) + bytes;
    argument.category_mask = page_is_written;
    argument.return_mask = page_is_written;
    if (ioctl(fd_, pagemap_scan_request, &argument) < 0)
        die("PAGEMAP_SCAN", errno);
}

} // namespace bench
