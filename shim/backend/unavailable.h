// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/backend/backend.h"

#include <cerrno>

namespace writewatch::backend {

// Stands in where no mechanism can be used: nothing can be watched, everything else works.
class Unavailable final : public Backend {
  public:
    std::string_view name() const noexcept override { return "none"; }
    Result<void> track(const TrackRequest& request) noexcept override { return no(request.range); }
    Result<void> untrack(PageRange range, Mode) noexcept override { return no(range); }
    void forget(PageRange) noexcept override {}
    Result<std::uintptr_t> skip_clean(PageRange range, Mode) noexcept override
    {
        return tl::unexpected(no(range).error());
    }
    Result<ScanResult> scan(const ScanRequest& request, std::span<Run>) noexcept override
    {
        return tl::unexpected(no(request.range).error());
    }
    Result<void> reset(PageRange range, Mode) noexcept override { return no(range); }
    Result<void> protect(PageRange range, int) noexcept override { return no(range); }
    Result<void> reopen_after_fork() noexcept override { return {}; }
    bool survives_fork() const noexcept override { return true; }

  private:
    static Result<void> no(PageRange range) noexcept
    {
        return fail(ENOTSUP, "no backend can be used", range);
    }
};

} // namespace writewatch::backend
