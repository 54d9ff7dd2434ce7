// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A backend for tests: its pages are a table, not memory. The test says which pages are written or
// dropped, which call fails and how, and is called back before and after every step, so that it can
// put what another thread would do at an exact point.
#pragma once

#include "shim/backend/backend.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace writewatch::backend {

class Fake final : public Backend {
  public:
    enum class Step : std::uint8_t {
        track,
        untrack,
        forget,
        skip_clean,
        scan,
        reset,
        protect,
        reopen
    };
    enum class Moment : std::uint8_t { before, after };

    // ---- what the memory does ----

    void write(PageRange range)
    {
        const std::lock_guard lock(mutex_);
        for (std::uintptr_t page = range.start; page < range.end; page += page_size)
            pages_[page].written = true;
    }
    void write(std::uintptr_t page) { write(PageRange{page, page + page_size}); }

    // Its contents are dropped (MADV_DONTNEED): clean.
    void drop(PageRange range)
    {
        const std::lock_guard lock(mutex_);
        for (std::uintptr_t page = range.start; page < range.end; page += page_size)
            pages_[page].written = false;
    }

    // As long as there are any, a scan answers with these, and resets nothing.
    std::vector<PageRange> lies;

    // Somebody mapped something over it: scans answer EPERM until it is tracked again.
    void lose(PageRange range)
    {
        const std::lock_guard lock(mutex_);
        for (std::uintptr_t page = range.start; page < range.end; page += page_size)
            pages_[page].tracked = false;
    }

    bool is_written(std::uintptr_t page) const
    {
        const std::lock_guard lock(mutex_);
        const auto entry = pages_.find(page);
        return entry != pages_.end() && entry->second.written;
    }
    bool is_tracked(std::uintptr_t page) const
    {
        const std::lock_guard lock(mutex_);
        const auto entry = pages_.find(page);
        return entry != pages_.end() && entry->second.tracked;
    }

    // ---- what the test does ----

    // The `number`th call of the step from now on (0: the next) fails with the errno value. A reset
    // has made `done` pages of its range clean by then, as the kernel's may.
    void fail_call(Step step, unsigned number, int error, std::size_t done = 0)
    {
        const std::lock_guard lock(mutex_);
        faults_.push_back({step, calls_[step] + number, error, done});
    }

    unsigned calls(Step step) const
    {
        const std::lock_guard lock(mutex_);
        const auto entry = calls_.find(step);
        return entry == calls_.end() ? 0 : entry->second;
    }

    // Called with nothing held; may call anything, this backend and its watch set included.
    std::function<void(Step, Moment)> on_step;

    // Runs that one step of a scan returns at most, for scans of many steps.
    std::size_t runs_per_step = std::numeric_limits<std::size_t>::max();

    // The answer to survives_fork().
    bool survives = false;

    // The protection of the latest track or protect.
    int protection = 0;

    // What dropped() was told.
    std::vector<PageRange> told_dropped;

    // ---- Backend ----

    std::string_view name() const noexcept override { return "fake"; }

    Result<void> track(const TrackRequest& request) noexcept override
    {
        const Announced announced(*this, Step::track);
        const std::lock_guard lock(mutex_);
        if (const Fault* fault = due(Step::track); fault != nullptr)
            return fail(fault->error, "fake track", request.range);
        protection = request.protection;
        for_pages(request.range, [&](Page& page) {
            page.tracked = true;
            if (request.contents != Contents::written)
                page.written = false;
        });
        return {};
    }

    Result<void> untrack(PageRange range, Mode) noexcept override
    {
        const Announced announced(*this, Step::untrack);
        const std::lock_guard lock(mutex_);
        if (const Fault* fault = due(Step::untrack); fault != nullptr)
            return fail(fault->error, "fake untrack", range);
        for_pages(range, [](Page& page) { page = {}; });
        return {};
    }

    void forget(PageRange range) noexcept override
    {
        const Announced announced(*this, Step::forget);
        const std::lock_guard lock(mutex_);
        (void)due(Step::forget);
        for_pages(range, [](Page& page) { page = {}; });
    }

    void dropped(PageRange range) noexcept override
    {
        const std::lock_guard lock(mutex_);
        told_dropped.push_back(range);
    }

    Result<std::uintptr_t> skip_clean(PageRange range, Mode) noexcept override
    {
        const Announced announced(*this, Step::skip_clean);
        const std::lock_guard lock(mutex_);
        if (const Fault* fault = due(Step::skip_clean); fault != nullptr)
            return tl::unexpected(Error{fault->error, "fake skip_clean", range});
        for (std::uintptr_t page = range.start; page < range.end; page += page_size) {
            if (!pages_[page].tracked || pages_[page].written)
                return page; // as the real one: the scan proper will say what is wrong
        }
        return range.end;
    }

    Result<ScanResult> scan(const ScanRequest& request, std::span<Run> out) noexcept override
    {
        const Announced announced(*this, Step::scan);
        const std::lock_guard lock(mutex_);
        const PageRange range = request.range;
        if (const Fault* fault = due(Step::scan); fault != nullptr)
            return tl::unexpected(Error{fault->error, "fake scan", range});
        if (!lies.empty()) {
            std::transform(lies.begin(), lies.end(), out.begin(), [](PageRange lie) {
                return Run{lie.start, lie.end, 0};
            });
            return ScanResult{lies.size(), range.end};
        }

        const std::size_t most = std::min(out.size(), runs_per_step);
        // As the real one: huge pages cannot be cut.
        const bool limited = request.max_pages != 0 && request.mode != Mode::armed_huge;
        std::size_t left = limited ? request.max_pages : range.pages();
        std::size_t found = 0;
        for (std::uintptr_t at = range.start; at < range.end; at += page_size) {
            Page& page = pages_[at];
            if (!page.tracked) {
                if (found > 0 && request.reset)
                    return ScanResult{found, at}; // what was consumed comes first
                return tl::unexpected(Error{EPERM, "fake scan", range});
            }
            if (!page.written)
                continue;
            const bool joins = found > 0 && out[found - 1].end == at;
            if (left == 0 || (!joins && found == most))
                return ScanResult{found, at};
            if (!joins)
                out[found++] = {at, at, 0};
            out[found - 1].end = at + page_size;
            page.written = page.written && !request.reset;
            --left;
        }
        return ScanResult{found, range.end};
    }

    Result<void> reset(PageRange range, Mode) noexcept override
    {
        const Announced announced(*this, Step::reset);
        const std::lock_guard lock(mutex_);
        const Fault* const fault = due(Step::reset);
        const std::size_t most = fault != nullptr ? fault->done : range.pages();
        std::size_t done = 0;
        for (std::uintptr_t at = range.start; at < range.end && done < most; at += page_size) {
            Page& page = pages_[at];
            if (!page.tracked)
                return fail(EPERM, "fake reset", range);
            page.written = false;
            ++done;
        }
        if (fault != nullptr)
            return fail(fault->error, "fake reset", range);
        return {};
    }

    Result<void> protect(PageRange range, int new_protection) noexcept override
    {
        const Announced announced(*this, Step::protect);
        const std::lock_guard lock(mutex_);
        if (const Fault* fault = due(Step::protect); fault != nullptr)
            return fail(fault->error, "fake protect", range);
        protection = new_protection;
        return {};
    }

    Result<void> reopen_after_fork() noexcept override
    {
        const Announced announced(*this, Step::reopen);
        const std::lock_guard lock(mutex_);
        if (const Fault* fault = due(Step::reopen); fault != nullptr)
            return fail(fault->error, "fake reopen", {});
        for (auto& [address, page] : pages_)
            page.tracked = false;
        return {};
    }

    bool survives_fork() const noexcept override { return survives; }

  private:
    struct Page {
        bool tracked = false;
        bool written = false;
    };
    struct Fault {
        Step step;
        unsigned number;
        int error;
        std::size_t done;
    };

    class Announced {
      public:
        Announced(Fake& fake, Step step) : fake_(fake), step_(step) { say(Moment::before); }
        ~Announced() { say(Moment::after); }
        Announced(const Announced&) = delete;
        Announced& operator=(const Announced&) = delete;

      private:
        void say(Moment moment) const
        {
            if (fake_.on_step)
                fake_.on_step(step_, moment);
        }
        Fake& fake_;
        Step step_;
    };

    template<typename Action> void for_pages(PageRange range, Action action)
    {
        for (std::uintptr_t page = range.start; page < range.end; page += page_size)
            action(pages_[page]);
    }

    // Counts the call; the fault that is set for it.
    const Fault* due(Step step)
    {
        const unsigned number = calls_[step]++;
        for (const Fault& fault : faults_) {
            if (fault.step == step && fault.number == number)
                return &fault;
        }
        return nullptr;
    }

    mutable std::mutex mutex_;
    std::map<std::uintptr_t, Page> pages_;
    std::map<Step, unsigned> calls_;
    std::vector<Fault> faults_;
};

} // namespace writewatch::backend
