// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/core/watch_set.h"

#include "shim/sys/signals.h"

#include <algorithm>
#include <array>
#include <cerrno>

namespace writewatch::core {

// Runs fetched per step of a scan. The kernel allocates a buffer for as many: with the 512 that it
// could hand over, more than the 8 KiB that it has at hand (measured, docs/performance.md).
static constexpr std::size_t max_runs = 340;

namespace {

constexpr std::uintptr_t word_bytes = 64 * page_size;

// A registration that somebody drops in a loop would otherwise keep a call in here forever.
constexpr int max_repairs = 16;

// Calls visit(page) for each page whose bit is set, ascending, until it returns false.
template<typename Visitor>
void for_each_page(std::span<const std::uint64_t> words, std::uintptr_t first,
                   Visitor visit) noexcept
{
    for (const std::uint64_t word : words) {
        for (std::uint64_t bits = word; bits != 0; bits &= bits - 1) {
            if (!visit(first + static_cast<unsigned>(__builtin_ctzll(bits)) * page_size))
                return;
        }
        first += word_bytes;
    }
}

// Whether a scan of the range can have found these: whole pages of it, ascending. A kernel that
// answers something else must not make us write outside of our arrays.
bool are_possible(std::span<const backend::Run> runs, PageRange range)
{
    std::uintptr_t seen = range.start;
    for (const backend::Run& run : runs) {
        if (run.start < seen || run.end <= run.start || (run.start | run.end) % page_size != 0)
            return false;
        seen = run.end;
    }
    return seen <= range.end;
}

// Where a get puts what it finds, as page addresses.
class AddressOutput {
  public:
    explicit AddressOutput(std::span<std::uintptr_t> out) noexcept : out_(out) {}

    std::size_t count() const noexcept { return count_; }
    bool full() const noexcept { return count_ == out_.size(); }
    // What may be asked of a scan so that its result fits.
    std::size_t max_pages() const noexcept { return out_.size() - count_; }
    std::size_t max_runs() const noexcept { return core::max_runs; }

    // Takes as many pages as fit; returns the first that did not, run.end when all did.
    std::uintptr_t append(PageRange run) noexcept
    {
        const std::size_t pages = std::min(run.pages(), max_pages());
        std::uintptr_t* const target = out_.data() + count_;
        for (std::size_t i = 0; i < pages; ++i)
            target[i] = run.start + i * page_size;
        count_ += pages;
        return run.start + pages * page_size;
    }

    // The same for many runs; calls spill(PageRange) for what did not fit. Most runs are one page,
    // for which neither a loop nor state in memory is worth its while. False, with nothing
    // appended, when they are not ascending pages of the range: no backend finds such.
    template<typename Spill>
    bool append(std::span<const backend::Run> runs, PageRange range, Spill spill) noexcept
    {
        std::uintptr_t* target = out_.data() + count_;
        std::uintptr_t* const end = out_.data() + out_.size();
        std::uintptr_t seen = range.start;
        std::uintptr_t bits = 0;
        for (const backend::Run& run : runs) {
            const std::uintptr_t first = run.start;
            const std::size_t pages = (run.end - first) >> page_shift;
            const auto room = static_cast<std::size_t>(end - target);
            if (first < seen) [[unlikely]]
                return false;
            seen = run.end;
            bits |= first | seen;
            if (pages == 1 && room > 0) {
                *target++ = first;
                continue;
            }
            if (seen <= first || seen > range.end) [[unlikely]]
                return false;
            const std::size_t fitting = std::min(pages, room);
            for (std::size_t i = 0; i < fitting; ++i)
                target[i] = first + i * page_size;
            target += fitting;
            if (fitting < pages) [[unlikely]]
                spill(PageRange{first + fitting * page_size, first + pages * page_size});
        }
        if (seen > range.end || bits % page_size != 0) [[unlikely]]
            return false;
        count_ = static_cast<std::size_t>(target - out_.data());
        return true;
    }

    template<typename Visitor> void for_each(Visitor visit) const
    {
        for (const std::uintptr_t page : out_.first(count_))
            visit(PageRange{page, page + page_size});
    }

    void clear() noexcept { count_ = 0; }

    // What append would take, page by page, without writing anything.
    class Trial {
      public:
        explicit Trial(const AddressOutput& output) noexcept : left_(output.max_pages()) {}
        bool append(std::uintptr_t) noexcept { return left_ > 0 && left_-- > 0; }

      private:
        std::size_t left_;
    };

  private:
    std::span<std::uintptr_t> out_;
    std::size_t count_ = 0;
};

// The same as runs of adjacent pages.
class RunOutput {
  public:
    explicit RunOutput(std::span<PageRange> out) noexcept : out_(out) {}

    std::size_t count() const noexcept { return count_; }
    bool full() const noexcept { return count_ == out_.size(); }
    std::size_t max_pages() const noexcept { return 0; } // no limit
    std::size_t max_runs() const noexcept { return std::min(core::max_runs, out_.size() - count_); }

    std::uintptr_t append(PageRange run) noexcept
    {
        if (count_ > 0 && out_[count_ - 1].end == run.start) {
            out_[count_ - 1].end = run.end;
            return run.end;
        }
        if (full())
            return run.start;
        out_[count_++] = run;
        return run.end;
    }

    template<typename Spill>
    bool append(std::span<const backend::Run> runs, PageRange range, Spill spill) noexcept
    {
        if (!are_possible(runs, range)) [[unlikely]]
            return false;
        for (const backend::Run& run : runs) {
            if (const std::uintptr_t left = append({run.start, run.end}); left < run.end)
                spill(PageRange{left, run.end});
        }
        return true;
    }

    template<typename Visitor> void for_each(Visitor visit) const
    {
        for (const PageRange run : out_.first(count_))
            visit(run);
    }

    void clear() noexcept { count_ = 0; }

    class Trial {
      public:
        explicit Trial(const RunOutput& output) noexcept
            : left_(output.out_.size() - output.count_),
              end_(output.count_ > 0 ? output.out_[output.count_ - 1].end : 0)
        {}
        bool append(std::uintptr_t page) noexcept
        {
            if (end_ != page) {
                if (left_ == 0)
                    return false;
                --left_;
            }
            end_ = page + page_size;
            return true;
        }

      private:
        std::size_t left_;
        std::uintptr_t end_;
    };

  private:
    std::span<PageRange> out_;
    std::size_t count_ = 0;
};

tl::unexpected<Error> impossible(PageRange range)
{
    return fail(EIO, "the backend's answer cannot be true", range);
}

} // namespace

Result<void> WatchSet::open() noexcept
{
    auto ok = fork_page_.open(sys::ForkPage::Order::outer, {&in_child, this});
    if (ok)
        ok = regions_.open();
    if (ok)
        ok = latched_.open();
    if (!ok)
        close();
    return ok;
}

void WatchSet::close() noexcept
{
    latched_.close();
    regions_.close();
    fork_page_.close();
}

// A userfaultfd does not follow into a child, and its file descriptors are the parent's. Every page
// populated at the fork reads as written in the child once its regions are tracked again.
Result<void> WatchSet::recover_after_fork() noexcept
{
    const sys::ForkPageLock writer(fork_page_);
    if (!fork_page_.inherited())
        return {};                       // another thread of the child was faster
    (void)regions_.recover_after_fork(); // an emptied table answers ENOENT
    if (observer_ != nullptr)
        observer_->prepare(); // its records are the parent's: below, none is known any more
    if (!backend_.survives_fork()) {
        if (auto ok = backend_.reopen_after_fork(); !ok)
            return ok;
        constexpr PageRange everything{0, address_space_end};
        (void)visit_watched(everything, [&](PageRange part, const Region& region) -> Result<void> {
            // Its memory may be gone without our knowing. To drop it fails every later call on
            // it; to fail here would fail those on all others, too.
            if (!track_again(part, region.mode)) {
                regions_.remove(part);
                latched_.clear(part);
            }
            return {};
        });
    }
    regions_.publish_again();
    latched_.publish_again();
    fork_page_.claim();
    return {};
}

Result<void> WatchSet::track_again(PageRange range, backend::Mode mode) noexcept
{
    return backend_.track(
        {.range = range, .mode = mode, .contents = backend::Contents::written, .protection = 0});
}

Result<Region> WatchSet::region_of(PageRange range) noexcept
{
    if (auto ok = enter(); !ok)
        return tl::unexpected(ok.error());
    const std::optional<Region> region = regions_.find(range.start);
    if (!region || range.empty() || !region->range.contains(range))
        return fail(ENOENT, "not inside one watched region", range);
    return *region;
}

std::optional<Region> WatchSet::find(std::uintptr_t address) noexcept
{
    if (!enter())
        return std::nullopt;
    return regions_.find(address);
}

Result<void> WatchSet::watch(const backend::TrackRequest& request, OnOverlap on_overlap,
                             std::uint32_t protection) noexcept
{
    const PageRange range = request.range;
    if (range.empty())
        return fail(EINVAL, "watch: empty range", range);
    if (auto ok = enter(); !ok)
        return ok;
    if (auto ok = latched_.reserve(range); !ok)
        return ok;
    if (observer_ != nullptr)
        observer_->prepare();

    // Into the table before it is tracked: tracking makes pages clean, so of two threads that watch
    // the same range one must fail before it does; and who drops an older region here by its id
    // must find it gone by then.
    Region region{range, 0, request.mode};
    {
        const sys::ForkPageLock writer(fork_page_);
        const auto overlap = regions_.next(range.start);
        if (on_overlap == OnOverlap::fail && overlap && overlap->range.overlaps(range))
            return fail(EEXIST, "watch: already watched", overlap->range.intersect(range));
        if (auto ok = regions_.reserve(2); !ok) // one for the region, one for a split
            return ok;
        regions_.remove(range);
        latched_.clear(range);
        region.id = regions_.insert(range, request.mode, protection);
    }
    auto ok = backend_.track(request);
    if (was_forked()) [[unlikely]]
        return enter(); // tracks it with all others
    if (!ok)
        forget(region, range);
    return ok;
}

Result<void> WatchSet::remove(PageRange range) noexcept
{
    const sys::ForkPageLock writer(fork_page_);
    if (auto ok = regions_.reserve(1); !ok)
        return ok;
    regions_.remove(range);
    latched_.clear(range);
    return {};
}

Result<void> WatchSet::forget(PageRange range) noexcept
{
    if (auto ok = enter(); !ok)
        return ok;
    const auto region = regions_.next(range.start);
    if (!region || !region->range.overlaps(range))
        return {}; // the usual case of a hook that sees every unmapping
    auto ok = remove(range);
    if (ok)
        backend_.forget(range);
    return ok;
}

void WatchSet::forget(const Region& region, PageRange part) noexcept
{
    if (!enter())
        return;
    const sys::ForkPageLock writer(fork_page_);
    // Others may lie where it was cut off.
    auto now = regions_.next(part.start);
    while (now && now->id != region.id && now->range.overlaps(part))
        now = regions_.next(now->range.end);
    if (!now || !now->range.overlaps(part))
        return;
    part = regions_.reserve(1) ? now->range.intersect(part) : now->range;
    regions_.remove(part);
    latched_.clear(part);
    backend_.forget(part);
}

Result<void> WatchSet::unwatch(PageRange range) noexcept
{
    // Part by part: a region that is in the table and not tracked would lose writes.
    return for_each_watched(range, [&](PageRange part, const Region& region) {
        auto ok = backend_.untrack(part, region.mode);
        return ok ? remove(part) : ok;
    });
}

Result<void> WatchSet::memory_replaced(PageRange range, int protection) noexcept
{
    return for_each_watched(range, [&](PageRange part, const Region& region) {
        return backend_.track({.range = part,
                               .mode = region.mode,
                               .contents = backend::Contents::empty,
                               .protection = protection});
    });
}

Result<void> WatchSet::latch(PageRange range) noexcept
{
    return for_each_watched(range, [&](PageRange part, const Region& region) -> Result<void> {
        const auto first = backend_.skip_clean(part, region.mode);
        if (!first)
            return tl::unexpected(first.error());
        part.start = *first;
        std::array<backend::Run, max_runs> runs;
        Call call{region, Meter()};
        while (!part.empty()) {
            const auto result = scan_possible(
                {.range = part, .mode = region.mode, .reset = false, .max_pages = 0}, call, runs);
            if (!result)
                return tl::unexpected(result.error());
            for (std::size_t i = 0; i < result->runs; ++i) {
                const PageRange written{runs[i].start, runs[i].end};
                if (observer_ != nullptr)
                    observer_->prepare_latch(written);
                latched_.set(written);
            }
            part.start = result->resume;
        }
        return {};
    });
}

// One step of the backend's scan.
[[gnu::always_inline]] inline Result<backend::ScanResult>
WatchSet::scan(const backend::ScanRequest& request, Call& call,
               std::span<backend::Run> runs) noexcept
{
    auto result = call.meter.in_backend([&] { return backend_.scan(request, runs); });
    if (!result && result.error().code == EPERM) [[unlikely]]
        result = scan_after_repair(request, call, runs);
    return result;
}

// A registration that was lost underneath (EPERM) is made again, after which whatever is populated
// there reads as written.
[[gnu::noinline]] Result<backend::ScanResult>
WatchSet::scan_after_repair(const backend::ScanRequest& request, Call& call,
                            std::span<backend::Run> runs) noexcept
{
    for (int repairs = 1;; ++repairs) {
        if (auto ok = track_again(call.region.range, call.region.mode); !ok)
            return tl::unexpected(ok.error());
        call.meter.over_reported();
        auto result = call.meter.in_backend([&] { return backend_.scan(request, runs); });
        if (result || result.error().code != EPERM || repairs == max_repairs)
            return result;
    }
}

// For those whose arrays are as long as the range.
Result<backend::ScanResult> WatchSet::scan_possible(const backend::ScanRequest& request, Call& call,
                                                    std::span<backend::Run> runs) noexcept
{
    const auto result = scan(request, call, runs);
    if (!result || are_possible(runs.first(result->runs), request.range))
        return result;
    if (!request.reset)
        return impossible(request.range);
    runs[0] = {request.range.start, request.range.end, 0};
    return backend::ScanResult{1, request.range.end};
}

// From here to the backend, the path of a usual get is one function: each return behind a system
// call costs as much as twenty instructions (docs/performance.md).
Result<std::size_t> WatchSet::get(const Region& region, PageRange range, bool reset,
                                  std::span<std::uintptr_t> out) noexcept
{
    return get_into(region, range, reset, AddressOutput(out));
}

Result<std::size_t> WatchSet::get(const Region& region, PageRange range, bool reset,
                                  std::span<PageRange> out) noexcept
{
    return get_into(region, range, reset, RunOutput(out));
}

template<typename Output>
[[gnu::always_inline]] inline Result<std::size_t>
WatchSet::get_into(const Region& region, PageRange range, bool reset, Output output) noexcept
{
    if (auto ok = enter(); !ok)
        return tl::unexpected(ok.error());
    Call call{region, meter(region, reset)};
    auto found = get_counted(call, range, reset, output);
    call.meter.finish(found);
    if (was_forked()) [[unlikely]]
        return get_again(region, range, reset, output);
    return found;
}

template<typename Output>
[[gnu::noinline]] Result<std::size_t> WatchSet::get_again(const Region& region, PageRange range,
                                                          bool reset, Output output) noexcept
{
    if (reset)
        give_back(output, range); // some may have come from the latch
    output.clear();
    return get_into(region, range, reset, output);
}

template<typename Output>
[[gnu::always_inline]] inline Result<std::size_t>
WatchSet::get_counted(Call& call, PageRange range, bool reset, Output& output) noexcept
{
    const std::uint64_t generation = latched_.generation();
    bool merge = generation != 0 && latched_.any(range); // 0: no bit was ever set
    if (!merge) [[likely]] {
        if (auto ok = scan_into(range, call, reset, output); !ok)
            return tl::unexpected(ok.error());
        // Pages latched and then dropped while we scanned were in neither our first look at the
        // latch nor in the scan: look again, by way of the latch, so that nothing can get lost.
        merge = latched_.generation() != generation && latched_.any(range);
        if (merge) {
            if (reset)
                give_back(output, range);
            output.clear();
        }
    }
    if (merge) [[unlikely]] {
        latched_.settle(range);
        if (auto ok = merge_into(range, call, reset, output); !ok)
            return tl::unexpected(ok.error());
    }
    return output.count();
}

// The usual case: what the scan finds goes straight to the caller.
template<typename Output>
[[gnu::always_inline]] inline Result<void> WatchSet::scan_into(PageRange range, Call& call,
                                                               bool reset, Output& output) noexcept
{
    const backend::Mode mode = call.region.mode;
    const auto first = call.meter.in_backend([&] { return backend_.skip_clean(range, mode); });
    if (!first)
        return tl::unexpected(first.error());

    std::array<backend::Run, max_runs> runs;
    for (PageRange rest{*first, range.end}; !rest.empty() && !output.full();) {
        const auto result =
            scan({.range = rest, .mode = mode, .reset = reset, .max_pages = output.max_pages()},
                 call, std::span(runs).first(output.max_runs()));
        if (!result) {
            if (reset)
                give_back(output, range);
            return tl::unexpected(result.error());
        }
        const bool possible =
            output.append(std::span(runs).first(result->runs), rest, [&](PageRange left) {
                // Huge pages cannot be cut: what does not fit was reset all the same and stays
                // reported.
                if (reset)
                    latched_.set(left);
            });
        if (!possible) [[unlikely]]
            return take_all(rest, reset, output);
        rest.start = result->resume;
    }
    return {};
}

// For an answer that cannot be true. What a reset did is then unknown: it may be all.
template<typename Output>
[[gnu::noinline]] Result<void> WatchSet::take_all(PageRange range, bool reset,
                                                  Output& output) noexcept
{
    if (!reset)
        return impossible(range);
    const std::uintptr_t left = output.append(range);
    if (left < range.end)
        latched_.set({left, range.end});
    return {};
}

// Some pages of the range are latched: the result is the union of both, window by window.
template<typename Output>
[[gnu::noinline]] Result<void> WatchSet::merge_into(PageRange range, Call& call, bool reset,
                                                    Output& output) noexcept
{
    for (PageRange rest = range; !rest.empty();) {
        const std::uintptr_t window = rest.start & ~(word_bytes - 1);
        PageRange part = rest.intersect({window, window + window_bytes});
        Window written{};
        if (reset && call.region.mode != backend::Mode::armed_huge) {
            // Not all may fit, and a page that does not must stay as it is: in the latch it would
            // outlive its contents. So look first, and reset up to where the output ends. (Huge
            // pages cannot be cut, and have no contents to drop.)
            if (auto ok = collect_window(part, window, call, false, written); !ok) {
                give_back(output, range);
                return ok;
            }
            typename Output::Trial trial(output);
            for_each_page(written, window, [&](std::uintptr_t page) {
                const bool fits = trial.append(page);
                if (!fits)
                    part.end = page;
                return fits;
            });
            if (part.empty())
                return {};
            written = {};
        }
        if (auto ok = collect_window(part, window, call, reset, written); !ok) {
            if (reset)
                give_back(output, range);
            return ok;
        }
        bool fits = true;
        for_each_page(written, window, [&](std::uintptr_t page) {
            if (output.append({page, page + page_size}) != page)
                return true;
            fits = false;
            // Written since the first look.
            if (reset)
                latched_.set({page, page + page_size});
            return reset;
        });
        if (!fits)
            return {};
        // Also when the part was cut short: another caller may have been given some of its pages
        // since the first look, and then there is room left. Fewer pages than fit mean "all".
        rest.start = part.end;
    }
    return {};
}

// Takes the latched bits of the part, scans it, and looks at the latch once more: a page may be
// latched and dropped in between. Adds to `written`, whose first page is `window`'s. On an error
// the latch is as before.
Result<void> WatchSet::collect_window(PageRange part, std::uintptr_t window, Call& call, bool reset,
                                      Window& written) noexcept
{
    const std::size_t words = (part.end - window + word_bytes - 1) / word_bytes;
    const auto add_latched = [&] {
        for (std::size_t i = 0; i < words; ++i) {
            const std::uintptr_t address = window + i * word_bytes;
            const std::uint64_t mask = word_mask(address, part);
            written[i] |= reset ? latched_.take(address, mask) : latched_.load(address) & mask;
        }
    };

    add_latched();
    std::array<backend::Run, max_runs> runs;
    for (PageRange rest = part; !rest.empty();) {
        const auto result = scan_possible(
            {.range = rest, .mode = call.region.mode, .reset = reset, .max_pages = 0}, call, runs);
        if (!result) {
            for (std::size_t i = 0; reset && i < words; ++i)
                latched_.put(window + i * word_bytes, written[i]);
            return tl::unexpected(result.error());
        }
        for (std::size_t i = 0; i < result->runs; ++i) {
            const PageRange run{runs[i].start, runs[i].end};
            for (std::size_t w = (run.start - window) / word_bytes;
                 w <= (run.end - 1 - window) / word_bytes; ++w)
                written[w] |= word_mask(window + w * word_bytes, run);
        }
        rest.start = result->resume;
    }
    add_latched();
    return {};
}

// Pages that a reset consumed but the caller will not learn of. They lie in the caller's array,
// which another thread of a confused program may be scribbling on: only pages of the range count.
template<typename Output> void WatchSet::give_back(const Output& output, PageRange range) noexcept
{
    output.for_each([&](PageRange run) {
        if (range.contains(run) && page_floor(run.start) == run.start)
            latched_.set(run);
    });
}

Result<void> WatchSet::reset(PageRange range) noexcept
{
    const auto region = region_of(range);
    if (!region)
        return tl::unexpected(region.error());
    return reset(*region, range);
}

Result<void> WatchSet::reset(const Region& region, PageRange range) noexcept
{
    if (auto ok = enter(); !ok)
        return ok;
    Tally* const tally = observer_ != nullptr ? observer_->tally(record_of(region.id)) : nullptr;
    auto done = reset_tracked(region, range, tally);
    if (was_forked()) [[unlikely]]
        return reset(region, range);
    if (tally != nullptr) {
        tally->resets.fetch_add(1, std::memory_order_relaxed);
        if (!done)
            tally->errors.fetch_add(1, std::memory_order_relaxed);
    }
    return done;
}

Result<void> WatchSet::reset_tracked(const Region& region, PageRange range, Tally* tally) noexcept
{
    for (int repairs = 0;; ++repairs) {
        auto done = backend_.reset(range, region.mode);
        if (done)
            break;
        if (done.error().code == EPERM && repairs < max_repairs) {
            done = track_again(region.range, region.mode);
            if (done) {
                if (tally != nullptr)
                    tally->over_reports.fetch_add(1, std::memory_order_relaxed);
                continue;
            }
        }
        // It may have reset some pages before it failed; the caller will not count on any.
        latched_.set(range);
        return done;
    }
    // After the scan: had it failed, the latched pages would be gone.
    latched_.clear(range);
    return {};
}

} // namespace writewatch::core
