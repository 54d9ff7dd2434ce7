// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The watch set: which ranges of this process are watched, and which of their pages were written.
// It knows pages, neither Windows nor the kernel. Hosts above it own the memory and tell it what
// happens to the mappings; a backend below it tracks the writes.
//
// Threads: every function may be called by any thread at any time. get, reset, latch, find and
// memory_replaced hold nothing while they run (no lock, no reference): a thread may be suspended, killed or
// faulted out of them at any instruction without harm to others. watch, forget and unwatch hold a
// short lock with all asynchronous signals blocked and never call out while they hold it.
#pragma once

#include "shim/backend/backend.h"
#include "shim/core/latch_map.h"
#include "shim/core/region_table.h"
#include "shim/sys/fork.h"
#include "shim/sys/page.h"
#include "shim/sys/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace writewatch::core {

enum class OnOverlap : std::uint8_t {
    fail,    // EEXIST
    replace, // what was watched there is gone: the host knows that the memory is new
};

class WatchSet {
  public:
    // The backend must outlive the set.
    explicit WatchSet(backend::Backend& backend) : backend_(backend) {}

    WatchSet(const WatchSet&) = delete;
    WatchSet& operator=(const WatchSet&) = delete;

    // Allocates the table. Call once, before anything else.
    Result<void> open() noexcept;

    // Watches a mapped range. Errors: EEXIST (overlap), ENOMEM, EINVAL (above 47 bits, empty), and what
    // the backend answers. On an error nothing is watched that was not before.
    Result<void> watch(const backend::TrackRequest& request, OnOverlap on_overlap) noexcept;

    // The memory of the range is unmapped: drops what was watched there. Regions partly
    // inside are trimmed or split. Cannot fail for a whole region; for a split, ENOMEM.
    Result<void> forget(PageRange range) noexcept;

    // forget for memory that stays mapped: the backend stops tracking it.
    Result<void> unwatch(PageRange range) noexcept;

    // Drops the region with this id if it still exists, and nothing else: for a host that learns of a release
    // after the addresses may have been given out again.
    void forget(RegionId id) noexcept;

    // The mapping of the range was replaced by fresh private anonymous memory (decommit by MAP_FIXED):
    // watched pages in it are tracked again and clean, except latched ones.
    Result<void> memory_replaced(PageRange range) noexcept;

    // Before a protection change: pages of the range that are written now stay reported until
    // reset, whatever happens to their contents (facts/semantics.md, "Protection and commit state").
    // Parts of the range that are not watched are skipped.
    Result<void> latch(PageRange range) noexcept;

    // Writes up to out.size() addresses of written pages, ascending, and returns their number. With `reset`,
    // resets exactly the pages it returns. The range must lie in one region (ENOENT otherwise).
    // On an error no state is lost: pages that were consumed are reported again.
    Result<std::size_t> get(PageRange range, bool reset, std::span<std::uintptr_t> out) noexcept;

    // Marks every page of the range clean. The range must lie in one region (ENOENT otherwise).
    Result<void> reset(PageRange range) noexcept;

    // The region that contains the address.
    std::optional<Region> find(std::uintptr_t address) const noexcept;

    // The first region that overlaps the range. Lock-free: usable inside a hook.
    std::optional<Region> find_overlap(PageRange range) const noexcept;

    backend::Backend& backend() noexcept { return backend_; }

  private:
    backend::Backend& backend_;
    RegionTable regions_;
    LatchMap latched_;
};

} // namespace writewatch::core
