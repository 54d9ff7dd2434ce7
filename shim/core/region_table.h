// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The watched regions, sorted by address. Readers take no lock: they copy an entry under a sequence
// counter and try again when a writer was at work meanwhile. Writers exclude each other outside
// (WatchSet) and are short: no system call but a rare mmap to grow.
#pragma once

#include "shim/backend/backend.h"
#include "shim/core/observer.h"
#include "shim/sys/page.h"
#include "shim/sys/result.h"

#include <atomic>
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

    struct Block { // header of an allocated array
        PageRange memory;
        Block* outgrown;
    };

    class WriteSection;

    static Slot* slots_of(Block* block) noexcept;
    static std::size_t first_ending_above(const Slot* slots, std::size_t count,
                                          std::uintptr_t address) noexcept;
    template<typename Pick> std::optional<Region> read(Pick pick) const noexcept;
    static Region load(const Slot& slot) noexcept;
    static void store(Slot& slot, PageRange range, std::uint64_t tag) noexcept;
    static void copy(Slot& to, const Slot& from) noexcept;
    void open_gap(std::size_t index) noexcept;
    void close_gap(std::size_t index, std::size_t removed) noexcept;
    void tell_changed(const Slot& slot) noexcept;
    RegionId new_id() noexcept;

    Observer* observer_;

    std::atomic<std::uint64_t> sequence_{0}; // odd while a writer changes the table
    std::atomic<Slot*> slots_{nullptr};
    std::atomic<std::size_t> count_{0};
    Block* block_ = nullptr; // outgrown arrays are kept, chained: a reader may still look at one
    std::size_t capacity_ = 0;
    std::uint64_t last_serial_ = 0;
};

} // namespace writewatch::core
