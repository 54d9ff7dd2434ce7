// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Latched pages: written state that outlives the page's contents (facts/semantics.md), and the undo
// log of a get whose result could not be delivered.
//
// One bit per page, keyed by the page's address and not by its region: a reader that was suspended
// across a release and a new allocation then works on the addresses it was asked about, with no
// reference that could have gone stale, and a region can be split or trimmed without moving bits.
//
// A slice's bitmap (64 KiB for 2 GiB, resident only where bits were set) is allocated when
// something in it is first watched, and kept.
#pragma once

#include "shim/core/observer.h"
#include "shim/sys/page.h"
#include "shim/sys/result.h"
#include "shim/sys/slice_directory.h"

#include <atomic>
#include <cstdint>

namespace writewatch::core {

class LatchMap {
  public:
    // `observer` is shown every change; it may be null.
    explicit LatchMap(Observer* observer = nullptr) noexcept : observer_(observer) {}

    Result<void> open() noexcept { return words_.open(); }
    void close() noexcept { words_.close(); }

    // Allocates the bitmaps that cover the range. Before this, set() on it would lose bits.
    Result<void> reserve(PageRange range) noexcept { return words_.reserve(range); }

    void set(PageRange range) noexcept;
    void clear(PageRange range) noexcept;
    bool any(PageRange range) const noexcept;

    // Words of 64 pages, for merging. `address` lies in the word; bit 0 is its first page.
    std::uint64_t load(std::uintptr_t address) const noexcept;
    // Takes the bits of `mask` out and returns those that were set.
    std::uint64_t take(std::uintptr_t address, std::uint64_t mask) noexcept;
    void put(std::uintptr_t address, std::uint64_t bits) noexcept;

    // Grows with every set and put: tells a reader that bits may have appeared while it scanned.
    std::uint64_t generation() const noexcept
    {
        return generation_.load(std::memory_order_acquire);
    }

    // Takes out what somebody outside has taken over (Observer::taken_outside).
    void settle(PageRange range) noexcept;
    // In a fork's child, whose observer knows nothing yet.
    void publish_again() noexcept;

  private:
    static constexpr std::uintptr_t word_bytes = 64 * page_size; // of address space
    static constexpr std::size_t words_per_slice = sys::SliceDirectory::slice_bytes / word_bytes;

    using Word = std::atomic<std::uint64_t>;

    class Change;

    Word* word(std::uintptr_t address) const noexcept;
    void settle_window(std::uintptr_t address) noexcept;
    void set_bits(std::uintptr_t address, std::uint64_t bits) noexcept;

    // Calls visit(word, address) for each word of the range in slices that ever had a bit set,
    // until it returns false.
    template<typename Visitor> void for_each_used_word(PageRange range, Visitor visit) const;

    Observer* observer_;
    // The flag of a slice says that some bit in it was ever set.
    sys::SliceDirectory words_{words_per_slice * sizeof(Word)};
    std::atomic<std::uint64_t> generation_{0};
};

// The pages of the 64-page word at `address` that lie in the range, as bits.
constexpr std::uint64_t word_mask(std::uintptr_t address, PageRange range)
{
    constexpr std::uintptr_t word_bytes = 64 * page_size;
    const std::uintptr_t first = address & ~(word_bytes - 1);
    if (range.end <= first)
        return 0;
    const std::uintptr_t from = range.start > first ? (range.start - first) >> page_shift : 0;
    const std::uintptr_t to =
        range.end < first + word_bytes ? (range.end - first) >> page_shift : 64;
    if (from >= to)
        return 0;
    const std::uint64_t below_to = to == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << to) - 1;
    return below_to & ~((std::uint64_t{1} << from) - 1);
}

} // namespace writewatch::core
