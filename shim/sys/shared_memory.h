// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Files of POSIX shared memory (shm_overview(7): /dev/shm on Linux), as others left them there:
// nothing about one is taken for granted.
#pragma once

#include "shim/sys/result.h"
#include "shim/sys/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace writewatch::sys {

// Names (without a slash) that begin so. ENOENT: there is no such file system here.
Result<std::vector<std::string>> list_shared_memory(std::string_view prefix);

// Whether the name is there, and this user's.
bool is_own_shared_memory(const char* name) noexcept;

// Removes a name. ENOENT is no error.
Result<void> remove_shared_memory(const char* name) noexcept;

class SharedMemoryFile {
  public:
    enum class Access : bool { read, read_write };

    // Follows no symbolic link, and refuses (EACCES) what is not a regular file of this user that
    // nobody else may open.
    static Result<SharedMemoryFile> open(const char* name, Access access) noexcept;

    Result<std::uint64_t> size() const noexcept;

    // All of `out` from the offset on. EPROTO: the file ends before.
    Result<void> read(std::uint64_t offset, std::span<std::byte> out) const noexcept;
    Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) const noexcept;

    // Whether some process holds the file's lock (hold_lock).
    bool is_locked() const noexcept;

    // Excludes other users of this function, of any process, until the file is closed or unlocked.
    Result<void> lock_byte(std::uint64_t offset) const noexcept;
    void unlock_byte(std::uint64_t offset) const noexcept;

  private:
    explicit SharedMemoryFile(UniqueFd fd) noexcept : fd_(std::move(fd)) {}
    UniqueFd fd_;
};

// What the maker of such a file does with its descriptor.
//
// The lock belongs to the open file, which lives as long as a descriptor or a mapping of it does.
// After the descriptor was closed it lasts exactly as long as the mapping, hence the address space.
// EAGAIN: somebody is just looking whether it is locked.
Result<void> hold_lock(int fd) noexcept;
// Real memory for [0, size): a later access cannot fail for want of it (no SIGBUS). ENOSPC.
Result<void> allocate_file(int fd, std::uint64_t size) noexcept;
// False: the name was removed.
bool has_name(int fd) noexcept;
// A child by fork does not inherit the mapping.
Result<void> keep_from_children(PageRange range) noexcept;

} // namespace writewatch::sys
