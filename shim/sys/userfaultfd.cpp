// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/userfaultfd.h"

#include "abi/linux/userfaultfd.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace writewatch::sys {

namespace {

template<typename Argument>
Result<void> request(int fd, unsigned long number, Argument& argument, const char* step,
                     PageRange range) noexcept
{
    while (::ioctl(fd, number, &argument) != 0) {
        // EAGAIN: the address space was changing (mmap_changing); nothing was done.
        if (errno != EINTR && errno != EAGAIN)
            return fail(errno, step, range);
    }
    return {};
}

Result<UniqueFd> open_user_mode_only() noexcept
{
    const long fd = ::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | abi::uffd_user_mode_only);
    if (fd < 0)
        return fail(errno, "userfaultfd");
    return UniqueFd(static_cast<int>(fd));
}

uffdio_range to_kernel(PageRange range) noexcept
{
    return {.start = range.start, .len = range.bytes()};
}

} // namespace

Result<void> Userfaultfd::try_open() noexcept
{
    const auto fd = open_user_mode_only();
    if (!fd)
        return tl::unexpected(fd.error());
    return {};
}

Result<Userfaultfd> Userfaultfd::open() noexcept
{
    auto fd = open_user_mode_only();
    if (!fd)
        return tl::unexpected(fd.error());
    uffdio_api api{.api = UFFD_API, .features = abi::uffd_feature_wp_async, .ioctls = 0};
    if (auto ok = request(fd->get(), UFFDIO_API, api, "UFFDIO_API WP_ASYNC", {}); !ok)
        return tl::unexpected(ok.error());
    return Userfaultfd(std::move(*fd));
}

Result<void> Userfaultfd::register_range(PageRange range) const noexcept
{
    uffdio_register argument{
        .range = to_kernel(range), .mode = UFFDIO_REGISTER_MODE_WP, .ioctls = 0};
    if (auto ok = request(fd_.get(), UFFDIO_REGISTER, argument, "UFFDIO_REGISTER", range); !ok)
        return ok;
    // The answer is a set of bits by command number: testing it against the command's encoded value
    // would be true for any mode that offers UFFDIO_WAKE.
    if ((argument.ioctls & (1ULL << _UFFDIO_WRITEPROTECT)) == 0)
        return fail(ENOTSUP, "UFFDIO_REGISTER offers no write-protect", range);
    return {};
}

Result<void> Userfaultfd::unregister_range(PageRange range) const noexcept
{
    uffdio_range argument = to_kernel(range);
    return request(fd_.get(), UFFDIO_UNREGISTER, argument, "UFFDIO_UNREGISTER", range);
}

Result<void> Userfaultfd::write_protect(PageRange range) const noexcept
{
    uffdio_writeprotect argument{.range = to_kernel(range), .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    return request(fd_.get(), UFFDIO_WRITEPROTECT, argument, "UFFDIO_WRITEPROTECT", range);
}

} // namespace writewatch::sys
