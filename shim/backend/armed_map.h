// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Where every page is known to be armed: a scan with reset returned it, which armed it, and nothing
// dropped it since. Such a page is there, so it needs no question about presence: the kernel's fast
// path gives the exact answer for it, at a third of the cost for a page that was not written.
//
// One bit per 64 KiB, which is what Windows allocates by. A bit that is missing costs time, one
// that is wrong reports pages too many; no bit can lose a write, since the fast path's answer is a
// superset of the other.
#pragma once

#include "shim/sys/page.h"
#include "shim/sys/result.h"
#include "shim/sys/slice_directory.h"

#include <atomic>
#include <cstdint>

namespace writewatch::backend {

class ArmedMap {
  public:
    ArmedMap() = default;
    ~ArmedMap() { words_.close(); }
    ArmedMap(const ArmedMap&) = delete;
    ArmedMap& operator=(const ArmedMap&) = delete;

    Result<void> open() noexcept { return words_.open(); }

    // Forgets everything; nobody may be inside another call.
    Result<void> reopen() noexcept;

    // Before this, add() on the range does nothing.
    Result<void> reserve(PageRange range) noexcept { return words_.reserve(range); }

    // Draw it before the scan whose result is added.
    using Ticket = std::uint64_t;
    Ticket ticket() const noexcept { return removals_.load(std::memory_order_seq_cst); }

    // The pages were armed by a scan. Nothing happens if anything was removed since the ticket was
    // drawn: it may have been one of these.
    void add(PageRange range, Ticket ticket) noexcept;

    // Pages of the range were dropped, or are not tracked any more.
    void remove(PageRange range) noexcept;

    // The range's first part that is to be asked about in one way, never empty: wholly armed, or
    // not. Armed parts that are too short to be worth a system call of their own are not told
    // apart.
    struct Part {
        std::uintptr_t end;
        bool armed;
    };
    Part first_part(PageRange range) const noexcept;
    // Whether its first 64 KiB are.
    bool begins_armed(PageRange range) const noexcept
    {
        return same_until({range.start, range.start + 1}, true) > range.start;
    }

    static constexpr unsigned unit_shift = 16;
    static constexpr std::uintptr_t unit_bytes = std::uintptr_t{1} << unit_shift;

  private:
    static constexpr std::uintptr_t word_bytes = 64 * unit_bytes; // of address space
    static constexpr std::size_t words_per_slice = sys::SliceDirectory::slice_bytes / word_bytes;

    using Word = std::atomic<std::uint64_t>;

    Word* word(std::uintptr_t address) const noexcept;
    // Where the units that are armed (or not), from the range's start on, end; the start, rounded
    // down, when it is not one of them.
    std::uintptr_t same_until(PageRange range, bool armed) const noexcept;
    // Calls change(word, bits) for the words over the units in [first, end).
    template<typename Change>
    void for_each_word(std::uintptr_t first, std::uintptr_t end, Change change) noexcept;

    sys::SliceDirectory words_{words_per_slice * sizeof(Word)};
    std::atomic<std::uint64_t> removals_{0};
    std::atomic<bool> used_{false}; // once a bit was set
};

} // namespace writewatch::backend
