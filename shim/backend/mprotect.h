// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Backend "mprotect": clean pages are kept read-only, and a SIGSEGV handler notes the first write
// to each. Works on every kernel, for native programs only, with limits (docs/deviations.md):
//  - a system call that writes into a clean page fails with EFAULT instead of counting as a write;
//  - alternating clean and written pages need a mapping each (vm.max_map_count); where the kernel
//  has no
//    more, pages are reported as written that were not;
//  - a program that replaces the SIGSEGV handler must call the one it replaced.
#pragma once

#include "shim/backend/backend.h"

#include <memory>

namespace writewatch::backend {

class Mprotect final : public Backend {
  public:
    static Result<std::unique_ptr<Mprotect>> open() noexcept;

    std::string_view name() const noexcept override { return "mprotect"; }
    Result<void> track(const TrackRequest& request) noexcept override;
    Result<void> untrack(PageRange range, Mode mode) noexcept override;
    void forget(PageRange range) noexcept override;
    Result<std::uintptr_t> skip_clean(PageRange range, Mode mode) noexcept override;
    Result<ScanResult> scan(const ScanRequest& request, std::span<Run> out) noexcept override;
    Result<void> reset(PageRange range, Mode mode) noexcept override;
    Result<void> protect(PageRange range, int protection) noexcept override;
    Result<void> reopen_after_fork() noexcept override { return {}; }
    // Protections, page states and the signal handler are all copied.
    bool survives_fork() const noexcept override { return true; }

  private:
    explicit Mprotect(std::uint8_t owner) noexcept : owner_(owner) {}

    std::uint8_t owner_;
};

} // namespace writewatch::backend
