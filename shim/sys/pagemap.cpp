// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/pagemap.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace writewatch::sys {

Result<Pagemap> Pagemap::open() noexcept
{
    const int fd = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(errno, "open /proc/self/pagemap");
    return Pagemap(UniqueFd(fd));
}

Result<Pagemap> Pagemap::open(pid_t pid) noexcept
{
    std::array<char, 32> path{};
    std::snprintf(path.data(), path.size(), "/proc/%d/pagemap", static_cast<int>(pid));
    const int fd = ::open(path.data(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(errno == ENOENT ? ESRCH : errno, "open /proc/PID/pagemap");
    return Pagemap(UniqueFd(fd));
}

void Pagemap::replace_in_child() noexcept
{
    const auto own = open();
    const UniqueFd none;
    fd_.become(own ? own->fd_ : none, file_);
    file_ = fd_.file();
}

Result<std::size_t> Pagemap::entries(PageRange range, std::span<std::uint64_t> out) const noexcept
{
    const std::size_t bytes = std::min(range.pages(), out.size()) * sizeof(std::uint64_t);
    std::size_t done = 0;
    while (done < bytes) {
        const ssize_t got =
            ::pread(fd_.get(), reinterpret_cast<char*>(out.data()) + done, bytes - done,
                    static_cast<off_t>((range.start >> page_shift) * sizeof(std::uint64_t) + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(errno, "read /proc/PID/pagemap", range);
        if (got == 0)
            break;
        done += static_cast<std::size_t>(got);
    }
    return done / sizeof(std::uint64_t);
}

int Pagemap::scan(abi::PmScanArg& argument) const noexcept
{
    const int saved = errno; // a read of write watches must not change the program's errno
    const int answer = ::ioctl(fd_.get(), abi::pagemap_scan_request, &argument);
    if (answer >= 0)
        return answer;
    const int error = errno;
    errno = saved;
    return -error;
}

} // namespace writewatch::sys
