// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "abi/linux/pagemap_scan.h"
#include "shim/sys/result.h"
#include "shim/sys/unique_fd.h"

#include <cstdint>
#include <span>
#include <sys/types.h>

namespace writewatch::sys {

// Bits of a pagemap entry (Documentation/admin-guide/mm/pagemap.rst).
inline constexpr std::uint64_t pagemap_present = std::uint64_t{1} << 63;
inline constexpr std::uint64_t pagemap_swapped = std::uint64_t{1} << 62;
inline constexpr std::uint64_t pagemap_file = std::uint64_t{1} << 61; // or shared anonymous
inline constexpr std::uint64_t pagemap_exclusive = std::uint64_t{1} << 56;

// A process's /proc/PID/pagemap. It stays with the address space that the process had when it was
// opened, whatever becomes of the process.
class Pagemap {
  public:
    // This process's.
    static Result<Pagemap> open() noexcept;
    // Another's. ESRCH; EPERM or EACCES without the right to read it (ptrace(2), PTRACE_MODE_READ).
    static Result<Pagemap> open(pid_t pid) noexcept;

    // In a child process: the same descriptor, of the child's own pagemap, or closed. A call that a
    // signal handler interrupted to fork goes on in both processes with the number it has read.
    void replace_in_child() noexcept;

    // PAGEMAP_SCAN as it is: the number of regions, or -errno. Async-signal-safe.
    int scan(abi::PmScanArg& argument) const noexcept;

    // One entry for each page of the range, which must not be longer than `out`. Returns how many
    // were read: 0 when the process has ended.
    Result<std::size_t> entries(PageRange range, std::span<std::uint64_t> out) const noexcept;

    const UniqueFd& descriptor() const noexcept { return fd_; }

  private:
    explicit Pagemap(UniqueFd fd) noexcept : fd_(std::move(fd)), file_(fd_.file()) {}
    UniqueFd fd_;
    UniqueFd::File file_;
};

} // namespace writewatch::sys
