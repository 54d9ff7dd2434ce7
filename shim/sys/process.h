// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who a process is. A pid alone says little: it is used again. With the time its process started it
// means one process for good (proc(5), stat, field 22).
#pragma once

#include "shim/sys/result.h"
#include "shim/sys/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <sys/types.h>

namespace writewatch::sys {

pid_t own_pid() noexcept;
uid_t own_uid() noexcept;

// Clock ticks since boot. ESRCH: there is no such process (a zombie counts as none).
Result<std::uint64_t> start_time_of(pid_t pid) noexcept;

// A descriptor that stands for the process (pidfd_open(2)). ESRCH; EINVAL: not a pid.
Result<UniqueFd> open_process(pid_t pid) noexcept;
bool has_ended(int pidfd) noexcept;

// Tells pid namespaces apart; 0: cannot be found out.
std::uint64_t own_pid_namespace() noexcept;

// The program's file, cut to fit; always ends with 0.
void read_own_program(std::span<char> out) noexcept;

struct DirectoryId {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
};
Result<DirectoryId> directory_id(const char* path) noexcept;

// What the GS register points to (arch_prctl(2)); 0: nothing.
std::uintptr_t gs_base() noexcept;

// Own memory that may not be there: false instead of a fault.
bool copy_own_memory(std::uintptr_t from, std::span<std::byte> to) noexcept;

} // namespace writewatch::sys
