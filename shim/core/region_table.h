// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The watched regions, sorted by address. Readers take no lock: they copy an entry under a sequence
// counter and try again when a writer was at work meanwhile. Writers exclude each other outside
// (WatchSet) and are short: no system call but a rare mmap to grow.
//
// Above the sorted entries lies an index, as of a B-tree whose nodes are cache lines: of each eight
// entries the last one's end, of each eight of those the last, and so on. All but the lowest levels
// stay in the processor's cache between two look-ups.
#pragma once

#include "shim/backend/backend.h"
#include "shim/core/observer.h"
#include "shim/sys/page.h"
#include "shim/sys/result.h"

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace writewatch::core {

// Never used twice within a process. Its low bits are the region's record with the observer.
using RegionId = std::uint64_t;

constexpr RecordNumber record_of(RegionId id)
{
    return static_cast<RecordNumber>(id & ((RegionId{1} << record_number_bits) - 1));
}

struct Region {
    PageRange range;
    RegionId id = 0;
    backend::Mode mode = backend::Mode::on_presence;
};

class RegionTable {
  public:
    // `observer` is told of every change; it may be null.
    explicit RegionTable(Observer* observer = nullptr) noexcept : observer_(observer) {}

    Result<void> open() noexcept;
    void close() noexcept;

    // Lock-free reads.
    std::optional<Region> find(std::uintptr_t address) const noexcept;
    // The first region that ends above the address.
    std::optional<Region> next(std::uintptr_t address) const noexcept;

    // Writers; the caller excludes others.
    //
    // Room for that many more entries.
    Result<void> reserve(std::size_t more) noexcept;
    // The range must be free; room must have been reserved.
    RegionId insert(PageRange range, backend::Mode mode, std::uint32_t protection = 0) noexcept;
    // Removes the range from the table. A region partly inside is trimmed, one around it is split
    // (room for one more must have been reserved); what is left keeps its mode and, at its start,
    // its id.
    void remove(PageRange range) noexcept;

    // In a fork's child: a writer that did not come along may have left the table in the middle of
    // a change. Empties it then and returns false.
    bool recover_after_fork() noexcept;
    // In the same place: the observer has none of the records that the parent's had.
    void publish_again() noexcept;

  private:
    // 24 bytes an entry, each word atomic because readers copy while a writer shifts.
    struct Slot {
        std::atomic<std::uintptr_t> start;
        std::atomic<std::uintptr_t> end;
        std::atomic<std::uint64_t> tag; // id << 8 | mode
    };

    using Key = std::atomic<std::uintptr_t>; // the end of a region

    // Keys of a node, and entries under a key of the lowest level.
    static constexpr unsigned fanout_shift = 3;
    static constexpr std::size_t fanout = std::size_t{1} << fanout_shift;

    // An allocated array: this header, the index from the top down, fanout^(levels + 1) entries.
    struct alignas(64) Block {
        PageRange memory;
        Block* outgrown;
        unsigned levels; // of the index
        Slot* entries;

        std::size_t capacity() const noexcept
        {
            return std::size_t{1} << fanout_shift * (levels + 1);
        }
        Key* keys() noexcept { return reinterpret_cast<Key*>(this + 1); }
        Slot* slots() const noexcept { return entries; }
    };

    // Levels that a table of so many entries uses: one node at the top.
    static constexpr unsigned levels_for(std::size_t count) noexcept
    {
        return (static_cast<unsigned>(std::bit_width((count - 1) | 1)) - 1) / fanout_shift;
    }
    // Where the keys of the level begin that has `above` levels above it, the largest of which has
    // one node: fanout + fanout^2 + … keys come before.
    static constexpr std::size_t level_offset(unsigned above) noexcept
    {
        return ((std::size_t{1} << fanout_shift * (above + 1)) - fanout) / (fanout - 1);
    }

    class WriteSection;

    static std::size_t first_ending_above(Block& block, std::size_t count,
                                          std::uintptr_t address) noexcept;
    static Region load(const Slot& slot) noexcept;
    static void store(Slot& slot, PageRange range, std::uint64_t tag) noexcept;
    static void copy(Slot& to, const Slot& from) noexcept;
    Slot* slots() const noexcept { return block_.load(std::memory_order_relaxed)->slots(); }
    std::size_t first_ending_above(std::uintptr_t address) const noexcept;
    void update_index(std::size_t first) noexcept;
    void open_gap(std::size_t index) noexcept;
    void close_gap(std::size_t index, std::size_t removed) noexcept;
    void tell_changed(const Slot& slot) noexcept;
    RegionId new_id() noexcept;

    Observer* observer_;

    std::atomic<std::uint64_t> sequence_{0}; // odd while a writer changes the table
    // Outgrown arrays are kept, chained: a reader may still look at one.
    std::atomic<Block*> block_{nullptr};
    std::atomic<std::size_t> count_{0};
    std::uint64_t last_serial_ = 0;
};

} // namespace writewatch::core
