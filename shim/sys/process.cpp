// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/process.h"

#include <array>
#include <asm/prctl.h>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace writewatch::sys {

pid_t own_pid() noexcept
{
    return ::getpid();
}

uid_t own_uid() noexcept
{
    return ::geteuid();
}

Result<std::uint64_t> start_time_of(pid_t pid) noexcept
{
    std::array<char, 32> path{};
    std::snprintf(path.data(), path.size(), "/proc/%d/stat", static_cast<int>(pid));
    const UniqueFd file(::open(path.data(), O_RDONLY | O_CLOEXEC));
    if (!file)
        return fail(errno == ENOENT ? ESRCH : errno, "open /proc/PID/stat");
    std::array<char, 1024> buffer{};
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got <= 0)
        return fail(got < 0 ? errno : ESRCH, "read /proc/PID/stat");

    // "PID (NAME) STATE ..."; the name may hold anything, parentheses included.
    std::string_view text(buffer.data(), static_cast<std::size_t>(got));
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string_view::npos)
        return fail(EPROTO, "parse /proc/PID/stat");
    text.remove_prefix(name_end + 1);
    for (int field = 3; field <= 22; ++field) {
        const std::size_t begin = text.find_first_not_of(' ');
        if (begin == std::string_view::npos)
            break;
        text.remove_prefix(begin);
        const std::string_view word = text.substr(0, text.find(' '));
        if (field == 3 && (word == "Z" || word == "X"))
            return fail(ESRCH, "the process has ended");
        if (field == 22) {
            std::uint64_t value = 0;
            const auto [end, error] =
                std::from_chars(word.data(), word.data() + word.size(), value);
            if (error == std::errc() && end == word.data() + word.size())
                return value;
        }
        text.remove_prefix(word.size());
    }
    return fail(EPROTO, "parse /proc/PID/stat");
}

Result<UniqueFd> open_process(pid_t pid) noexcept
{
    const long fd = ::syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return fail(errno, "pidfd_open");
    return UniqueFd(static_cast<int>(fd));
}

bool has_ended(int pidfd) noexcept
{
    pollfd ended{.fd = pidfd, .events = POLLIN, .revents = 0};
    return ::poll(&ended, 1, 0) != 0;
}

std::uint64_t own_pid_namespace() noexcept
{
    struct stat status = {};
    return ::stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

void read_own_program(std::span<char> out) noexcept
{
    const ssize_t length = ::readlink("/proc/self/exe", out.data(), out.size() - 1);
    out[length > 0 ? static_cast<std::size_t>(length) : 0] = '\0';
}

Result<DirectoryId> directory_id(const char* path) noexcept
{
    struct stat status = {};
    if (::stat(path, &status) != 0)
        return fail(errno, "stat");
    return DirectoryId{status.st_dev, status.st_ino};
}

std::uintptr_t gs_base() noexcept
{
    unsigned long base = 0;
    return ::syscall(SYS_arch_prctl, ARCH_GET_GS, &base) == 0 ? base : 0;
}

bool copy_own_memory(std::uintptr_t from, std::span<std::byte> to) noexcept
{
    const iovec local{to.data(), to.size()};
    const iovec remote{reinterpret_cast<void*>(from),
                       to.size()}; // NOLINT(performance-no-int-to-ptr)
    return ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0) ==
           static_cast<ssize_t>(to.size());
}

} // namespace writewatch::sys
