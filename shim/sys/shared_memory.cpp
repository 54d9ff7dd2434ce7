// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/shared_memory.h"

#include "shim/sys/memory.h"

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace writewatch::sys {

namespace {

// Where glibc keeps POSIX shared memory (shm_overview(7)).
constexpr char directory[] = "/dev/shm";

struct flock one_byte(short type, std::uint64_t offset) noexcept
{
    struct flock lock = {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(offset);
    lock.l_len = 1;
    return lock;
}

} // namespace

Result<std::vector<std::string>> list_shared_memory(std::string_view prefix)
{
    const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(directory), &::closedir);
    if (!open)
        return fail(errno, "open /dev/shm");
    std::vector<std::string> names;
    while (const dirent* const entry = ::readdir(open.get())) { // NOLINT(concurrency-mt-unsafe)
        const std::string_view name(entry->d_name);
        if (name.starts_with(prefix))
            names.emplace_back(name);
    }
    return names;
}

bool is_own_shared_memory(const char* name) noexcept
{
    std::array<char, sizeof(directory) + NAME_MAX + 1> path{};
    std::snprintf(path.data(), path.size(), "%s/%s", directory, name);
    struct stat status = {};
    return ::lstat(path.data(), &status) == 0 && status.st_uid == ::geteuid();
}

Result<void> remove_shared_memory(const char* name) noexcept
{
    if (::shm_unlink(name) != 0 && errno != ENOENT)
        return fail(errno, "shm_unlink");
    return {};
}

Result<SharedMemoryFile> SharedMemoryFile::open(const char* name, Access access) noexcept
{
    // shm_open itself adds O_NOFOLLOW and O_CLOEXEC; O_NONBLOCK: a FIFO must not make us wait.
    const int flags = (access == Access::read ? O_RDONLY : O_RDWR) | O_NONBLOCK;
    UniqueFd fd(::shm_open(name, flags, 0));
    if (!fd)
        return fail(errno == ELOOP ? EACCES : errno, "shm_open");
    struct stat status = {};
    if (::fstat(fd.get(), &status) != 0)
        return fail(errno, "fstat");
    if (!S_ISREG(status.st_mode))
        return fail(EACCES, "not a regular file");
    if (status.st_uid != ::geteuid())
        return fail(EACCES, "it belongs to another user");
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return fail(EACCES, "others may open it");
    return SharedMemoryFile(std::move(fd));
}

Result<std::uint64_t> SharedMemoryFile::size() const noexcept
{
    struct stat status = {};
    if (::fstat(fd_.get(), &status) != 0)
        return fail(errno, "fstat");
    return static_cast<std::uint64_t>(status.st_size);
}

Result<void> SharedMemoryFile::read(std::uint64_t offset, std::span<std::byte> out) const noexcept
{
    while (!out.empty()) {
        const ssize_t got = ::pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(errno, "pread");
        if (got == 0)
            return fail(EPROTO, "it ends too early");
        out = out.subspan(static_cast<std::size_t>(got));
        offset += static_cast<std::size_t>(got);
    }
    return {};
}

Result<void> SharedMemoryFile::write(std::uint64_t offset,
                                     std::span<const std::byte> bytes) const noexcept
{
    while (!bytes.empty()) {
        const ssize_t put =
            ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return fail(put < 0 ? errno : EIO, "pwrite");
        bytes = bytes.subspan(static_cast<std::size_t>(put));
        offset += static_cast<std::size_t>(put);
    }
    return {};
}

bool SharedMemoryFile::is_locked() const noexcept
{
    // Shared, so that several who ask do not take each other for the owner.
    if (::flock(fd_.get(), LOCK_SH | LOCK_NB) != 0)
        return errno == EWOULDBLOCK;
    ::flock(fd_.get(), LOCK_UN);
    return false;
}

Result<void> SharedMemoryFile::lock_byte(std::uint64_t offset) const noexcept
{
    struct flock lock = one_byte(F_WRLCK, offset);
    while (::fcntl(fd_.get(), F_OFD_SETLKW, &lock) != 0) {
        if (errno != EINTR)
            return fail(errno, "fcntl F_OFD_SETLKW");
    }
    return {};
}

void SharedMemoryFile::unlock_byte(std::uint64_t offset) const noexcept
{
    struct flock lock = one_byte(F_UNLCK, offset);
    ::fcntl(fd_.get(), F_OFD_SETLK, &lock);
}

Result<void> hold_lock(int fd) noexcept
{
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0)
        return fail(errno == EWOULDBLOCK ? EAGAIN : errno, "flock");
    return {};
}

Result<void> allocate_file(int fd, std::uint64_t size) noexcept
{
    // Not posix_fallocate(3): on a file system that cannot, it writes a byte into every page.
    int result = 0;
    do {
        result = ::fallocate(fd, 0, 0, static_cast<off_t>(size));
    } while (result != 0 && errno == EINTR);
    return result == 0 ? Result<void>() : fail(errno, "fallocate");
}

bool has_name(int fd) noexcept
{
    struct stat status = {};
    return ::fstat(fd, &status) == 0 && status.st_nlink > 0;
}

Result<void> keep_from_children(PageRange range) noexcept
{
    return advise(range, MADV_DONTFORK);
}

} // namespace writewatch::sys
