// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "abi/linux/pagemap_scan.h"
#include "shim/sys/result.h"
#include "shim/sys/unique_fd.h"

namespace writewatch::sys {

// This process's /proc/self/pagemap.
class Pagemap {
  public:
    static Result<Pagemap> open() noexcept;

    // PAGEMAP_SCAN as it is: the number of regions, or -errno. Async-signal-safe.
    int scan(abi::PmScanArg& argument) const noexcept;

  private:
    explicit Pagemap(UniqueFd fd) noexcept : fd_(std::move(fd)) {}
    UniqueFd fd_;
};

} // namespace writewatch::sys
