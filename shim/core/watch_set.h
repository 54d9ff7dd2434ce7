// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The watch set: which ranges of this process are watched, and which of their pages were written.
// It knows pages, neither Windows nor the kernel. Hosts above it own the memory and tell it what
// happens to the mappings; a backend below it tracks the writes.
//
// Threads: every function may be called by any thread at any time. get, reset, latch, find and
// memory_replaced hold nothing while they run (no lock, no reference): a thread may be suspended,
// killed or faulted out of them at any instruction without harm to others. watch, forget and
// unwatch hold a short lock with all asynchronous signals blocked and never call out while they
// hold it.
#pragma once

#include "shim/backend/backend.h"
#include "shim/core/latch_map.h"
#include "shim/core/meter.h"
#include "shim/core/observer.h"
#include "shim/core/region_table.h"
#include "shim/sys/fork.h"
#include "shim/sys/page.h"
#include "shim/sys/result.h"

#include <array>
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
    // Both must outlive the set; without an observer nothing is counted or published.
    explicit WatchSet(backend::Backend& backend, Observer* observer = nullptr) noexcept
        : backend_(backend), observer_(observer), regions_(observer), latched_(observer)
    {}

    WatchSet(const WatchSet&) = delete;
    WatchSet& operator=(const WatchSet&) = delete;

    // Allocates the tables. Call once, before anything else.
    Result<void> open() noexcept;
    // Frees them; nobody may be inside another call. What is watched stays tracked by the backend.
    void close() noexcept;

    // Watches a mapped range. Errors: EEXIST (overlap), ENOMEM, EINVAL (above 47 bits, empty), and
    // what the backend answers. On an error nothing is watched that was not before.
    // `protection`: as the host's users name it, for the observer.
    Result<void> watch(const backend::TrackRequest& request, OnOverlap on_overlap,
                       std::uint32_t protection = 0) noexcept;

    // The memory of the range is unmapped, or will be at once (should that fail, watch it again
    // with Contents::written): drops what was watched there. Regions partly inside are trimmed or
    // split. Fails only for want of memory, before it changes anything.
    Result<void> forget(PageRange range) noexcept;

    // Drops the part of this very region, if it still exists, and of no other: for a host that
    // learns of a release after the addresses may have been given out again. Without memory to
    // split the region, all of it.
    void forget(const Region& region, PageRange part) noexcept;

    // forget for memory that stays mapped: the backend stops tracking it, too.
    Result<void> unwatch(PageRange range) noexcept;

    // The mapping of the range was replaced by fresh private anonymous memory (decommit by
    // MAP_FIXED): watched pages in it are tracked again and clean, except latched ones.
    Result<void> memory_replaced(PageRange range, int protection) noexcept;

    // The host threw away the contents of mapped pages, or lets the kernel do it when it likes
    // (madvise): those that are gone are clean, the others keep their state.
    void contents_dropped(PageRange range) noexcept { backend_.dropped(range); }

    // Before a protection change: pages of the range that are written now stay reported until
    // reset, whatever happens to their contents (facts/semantics.md, "Protection and commit
    // state"). Parts of the range that are not watched are skipped.
    Result<void> latch(PageRange range) noexcept;

    // Writes up to out.size() addresses of written pages, ascending, and returns their number. With
    // `reset`, resets exactly the pages it returns. The range must lie in `region`, as find
    // returned it (it may have been dropped since: then nothing is found). On an error no state is
    // lost: pages that were consumed are reported again.
    Result<std::size_t> get(const Region& region, PageRange range, bool reset,
                            std::span<std::uintptr_t> out) noexcept;

    // The same as up to out.size() runs of adjacent pages, each as long as possible.
    Result<std::size_t> get(const Region& region, PageRange range, bool reset,
                            std::span<PageRange> out) noexcept;

    // The same for a range that must lie in one region (ENOENT otherwise).
    template<typename Entry>
    Result<std::size_t> get(PageRange range, bool reset, std::span<Entry> out) noexcept
    {
        const auto region = region_of(range);
        if (!region)
            return tl::unexpected(region.error());
        return get(*region, range, reset, out);
    }

    // Pages that a get with reset returned and that will not reach its caller: they are reported
    // again.
    void give_back(PageRange pages) noexcept { latched_.set(pages); }

    // Marks every page of the range clean. The range must lie in `region`, as find returned it.
    Result<void> reset(const Region& region, PageRange range) noexcept;

    // The same for a range that must lie in one region (ENOENT otherwise).
    Result<void> reset(PageRange range) noexcept;

    // The region that contains the address.
    std::optional<Region> find(std::uintptr_t address) noexcept;

    // Calls visit(PageRange part, const Region&) for each watched part of the range, ascending,
    // until it returns an error. Lock-free: usable inside a hook.
    template<typename Visitor>
    Result<void> for_each_watched(PageRange range, Visitor visit) noexcept
    {
        for (;;) {
            if (auto ok = enter(); !ok)
                return ok;
            auto ok = visit_watched(range, visit);
            if (!was_forked()) [[likely]]
                return ok;
        }
    }

    backend::Backend& backend() noexcept { return backend_; }

  private:
    // A get or reset under way.
    struct Call {
        const Region& region;
        Meter meter;
    };

    // Pages merged at a time when some of a range are latched, as bits.
    using Window = std::array<std::uint64_t, 64>;
    static constexpr std::uintptr_t window_bytes = std::tuple_size_v<Window> * 64 * page_size;

    static void in_child(void* self) noexcept
    {
        static_cast<WatchSet*>(self)->backend_.disown_in_child();
    }

    Result<void> enter() noexcept
    {
        if (fork_page_.inherited()) [[unlikely]]
            return recover_after_fork();
        return {};
    }
    Result<void> recover_after_fork() noexcept;

    // A signal handler forked during a call, and this is the child in the rest of it. What the call
    // found or met since is of a mixture of both processes: it is made again.
    bool was_forked() const noexcept { return fork_page_.inherited(); }

    template<typename Visitor>
    Result<void> visit_watched(PageRange range, Visitor visit) const noexcept
    {
        while (!range.empty()) {
            const std::optional<Region> region = regions_.next(range.start);
            if (!region || !region->range.overlaps(range))
                return {};
            if (auto ok = visit(region->range.intersect(range), *region); !ok)
                return ok;
            range.start = region->range.end;
        }
        return {};
    }

    Result<Region> region_of(PageRange range) noexcept;
    Result<void> remove(PageRange range) noexcept;
    Result<void> track_again(PageRange range, backend::Mode mode) noexcept;

    Meter meter(const Region& region, bool reset) noexcept
    {
        return {observer_ != nullptr ? observer_->tally(record_of(region.id)) : nullptr, reset};
    }
    Result<backend::ScanResult> scan(const backend::ScanRequest& request, Call& call,
                                     std::span<backend::Run> runs) noexcept;
    Result<backend::ScanResult> scan_possible(const backend::ScanRequest& request, Call& call,
                                              std::span<backend::Run> runs) noexcept;
    Result<backend::ScanResult> scan_after_repair(const backend::ScanRequest& request, Call& call,
                                                  std::span<backend::Run> runs) noexcept;
    // Output is where found pages go: addresses or runs (watch_set.cpp).
    template<typename Output>
    Result<std::size_t> get_into(const Region& region, PageRange range, bool reset,
                                 Output output) noexcept;
    template<typename Output>
    Result<void> take_all(PageRange range, bool reset, Output& output) noexcept;
    template<typename Output>
    Result<std::size_t> get_again(const Region& region, PageRange range, bool reset,
                                  Output output) noexcept;
    template<typename Output>
    Result<std::size_t> get_counted(Call& call, PageRange range, bool reset,
                                    Output& output) noexcept;
    template<typename Output>
    Result<void> scan_into(PageRange range, Call& call, bool reset, Output& output) noexcept;
    template<typename Output>
    Result<void> merge_into(PageRange range, Call& call, bool reset, Output& output) noexcept;
    Result<void> collect_window(PageRange part, std::uintptr_t window, Call& call, bool reset,
                                Window& written) noexcept;
    Result<void> reset_tracked(const Region& region, PageRange range, Tally* tally) noexcept;
    template<typename Output> void give_back(const Output& output, PageRange range) noexcept;

    backend::Backend& backend_;
    Observer* observer_;
    sys::ForkPage fork_page_;
    RegionTable regions_;
    LatchMap latched_;
};

} // namespace writewatch::core
