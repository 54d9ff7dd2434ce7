// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "abi/linux/pagemap_scan.h"
#include "shim/sys/result.h"
#include "shim/sys/unique_fd.h"

#include <sys/types.h>

namespace writewatch::sys {

// A process's /proc/PID/pagemap. It stays with the address space that the process had when it was
// opened, whatever becomes of the process.
class Pagemap {
  public:
    // This process's.
    static Result<Pagemap> open() noexcept;
    // Another's. ESRCH; EPERM or EACCES without the right to read it (ptrace(2), PTRACE_MODE_READ).
    static Result<Pagemap> open(pid_t pid) noexcept;

    // PAGEMAP_SCAN as it is: the number of regions, or -errno. Async-signal-safe.
    int scan(abi::PmScanArg& argument) const noexcept;

  private:
    explicit Pagemap(UniqueFd fd) noexcept : fd_(std::move(fd)) {}
    UniqueFd fd_;
};

} // namespace writewatch::sys
