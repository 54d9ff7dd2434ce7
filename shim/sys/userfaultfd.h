// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/sys/result.h"
#include "shim/sys/unique_fd.h"

#include <cstdint>

namespace writewatch::sys {

// A userfaultfd of this process in asynchronous write-protect mode (userfaultfd(2)).
class Userfaultfd {
  public:
    // Whether the system call is there and allowed at all.
    static Result<void> try_open() noexcept;

    // Opens one with UFFD_FEATURE_WP_ASYNC. Errors name the step: "userfaultfd" (EPERM: a seccomp
    // filter; ENOSYS: not built in), "UFFDIO_API WP_ASYNC" (EINVAL: before Linux 6.7).
    static Result<Userfaultfd> open() noexcept;

    // Registers mapped memory for write-protect tracking. EBUSY: another userfaultfd has it;
    // EPERM: the mapping can never be written.
    Result<void> register_range(PageRange range) const noexcept;
    Result<void> unregister_range(PageRange range) const noexcept;

    // Arms every page of the range, populated or not: allocates page tables for the whole range.
    Result<void> write_protect(PageRange range) const noexcept;

    // In a child process: the descriptor is the parent's. Leaves one of another kind in its place,
    // at which every request fails.
    void replace_in_child(const UniqueFd& by) noexcept { fd_.become(by, file_); }

  private:
    explicit Userfaultfd(UniqueFd fd) noexcept : fd_(std::move(fd)), file_(fd_.file()) {}
    UniqueFd fd_;
    UniqueFd::File file_;
};

} // namespace writewatch::sys
