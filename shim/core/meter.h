// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Counts one call, and measures the time of about one in 64. Two clock readings per call would cost
// more than everything else in here; which calls are measured follows from the count by a
// multiplication, so that it does not fall into step with a caller's own rhythm.
//
// Additions are plain, not locked, which would be most of what a call pays for being counted: two
// threads that ask about the same region at the same moment may count as one.
#pragma once

#include "shim/core/observer.h"
#include "shim/sys/clock.h"

namespace writewatch::core {

class Meter {
  public:
    Meter() = default; // counts nothing
    Meter(Tally* tally, bool reset) noexcept : tally_(tally)
    {
        if (tally_ == nullptr)
            return;
        if (is_sample(add(reset ? tally_->gets_with_reset : tally_->gets, 1))) [[unlikely]]
            started_ = sys::monotonic_ns();
    }

    // The first call of a region is one.
    static constexpr bool is_sample(std::uint64_t number)
    {
        return (number * 0x9e37'79b9'7f4a'7c15) >> (64 - sample_shift) == 0;
    }

    // Calls a function of the backend.
    template<typename Step> auto in_backend(Step step) noexcept
    {
        if (started_ == 0) [[likely]]
            return step();
        const std::uint64_t before = sys::monotonic_ns();
        auto result = step();
        backend_ns_ += sys::monotonic_ns() - before;
        return result;
    }

    void over_reported() noexcept
    {
        if (tally_ != nullptr)
            tally_->over_reports.fetch_add(1, std::memory_order_relaxed);
    }

    void finish(const Result<std::size_t>& found) noexcept
    {
        if (tally_ == nullptr)
            return;
        if (!found)
            tally_->errors.fetch_add(1, std::memory_order_relaxed);
        else if (*found != 0)
            add(tally_->pages, *found);
        if (started_ != 0) [[unlikely]] {
            const std::uint64_t all = sys::monotonic_ns() - started_;
            tally_->kernel_ns.fetch_add(backend_ns_, std::memory_order_relaxed);
            tally_->user_ns.fetch_add(all - backend_ns_, std::memory_order_relaxed);
            tally_->samples.fetch_add(1, std::memory_order_relaxed);
        }
    }

  private:
    static constexpr unsigned sample_shift = 6;

    // Returns what was there before.
    static std::uint64_t add(std::atomic<std::uint64_t>& counter, std::uint64_t number) noexcept
    {
        const std::uint64_t before = counter.load(std::memory_order_relaxed);
        counter.store(before + number, std::memory_order_relaxed);
        return before;
    }

    Tally* tally_ = nullptr;
    std::uint64_t started_ = 0;
    std::uint64_t backend_ns_ = 0;
};

} // namespace writewatch::core
