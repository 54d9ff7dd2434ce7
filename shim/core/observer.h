// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who looks on while a watch set works: told of every change of its regions and latched pages, and
// owner of the counters of its calls. A set without an observer pays one branch per call.
#pragma once

#include "shim/backend/backend.h"
#include "shim/core/chunks.h"
#include "shim/sys/page.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace writewatch::core {

// What the calls about one region did. Words that anybody may read at any time (meter.h: how exact
// they are).
struct Tally {
    std::atomic<std::uint64_t> gets;
    std::atomic<std::uint64_t> gets_with_reset;
    std::atomic<std::uint64_t> resets;
    std::atomic<std::uint64_t> pages; // returned by gets of both kinds
    // Of the gets that were measured (meter.h).
    std::atomic<std::uint64_t> samples;
    std::atomic<std::uint64_t> kernel_ns;
    std::atomic<std::uint64_t> user_ns;

    std::atomic<std::uint32_t> errors;
    std::atomic<std::uint32_t> over_reports; // lost registrations: everything populated is reported
};

// Where the observer keeps a region's counters. 0: nowhere.
using RecordNumber = std::uint32_t;
inline constexpr unsigned record_number_bits = 20;

// Where tallies are: one in the second half of each record of 128 bytes, the records in chunks of
// 32, 64, 128, ... Looked up by every get, so neither behind a virtual function nor a lock.
class TallyBoard {
  public:
    static constexpr std::size_t chunks = 12;
    static constexpr std::uint32_t first_chunk = 32;
    static constexpr std::size_t record_bytes = 128;
    static constexpr std::size_t tally_offset = 64;

    // Null for record 0, and for one that is not there.
    Tally* find(RecordNumber record) const noexcept
    {
        if (record == 0)
            return nullptr;
        const ChunkPlace place = place_of(record, first_chunk);
        if (place.chunk >= chunks)
            return nullptr;
        std::byte* const memory = chunk(place.chunk);
        if (memory == nullptr)
            return nullptr;
        return reinterpret_cast<Tally*>(memory + std::size_t{place.index} * record_bytes +
                                        tally_offset);
    }

    void set_chunk(unsigned chunk, std::byte* memory) noexcept
    {
        chunk_[chunk].store(memory, std::memory_order_release);
    }
    std::byte* chunk(unsigned chunk) const noexcept
    {
        return chunk_[chunk].load(std::memory_order_acquire);
    }

  private:
    std::array<std::atomic<std::byte*>, chunks> chunk_{};
};

// Latched pages are published by the 16 MiB.
inline constexpr std::uintptr_t latch_window_bytes = std::uintptr_t{64} * 64 * page_size;

class Observer {
  public:
    virtual ~Observer() = default;

    // Before regions are added: the moment for work that takes time or memory. The caller holds no
    // lock, except in a child after fork; there the observer forgets what it knew as the parent's.
    virtual void prepare() noexcept = 0;

    // Changes of the table, each under the set's lock, with signals blocked: a few stores.
    virtual RecordNumber reserve_record() noexcept = 0;
    virtual void added(RecordNumber record, std::uint64_t id, PageRange range, backend::Mode mode,
                       std::uint32_t protection) noexcept = 0;
    virtual void changed(RecordNumber record, PageRange range) noexcept = 0;
    virtual void split(RecordNumber from, RecordNumber record, std::uint64_t id,
                       PageRange range) noexcept = 0;
    virtual void removed(RecordNumber record) noexcept = 0;

    // The counters of a region.
    Tally* tally(RecordNumber record) const noexcept { return board_.find(record); }

    // Latched pages, by words of 64 (latch_map.h). Changes are made between begin and end, which
    // exclude each other and block signals.
    //
    // Room for latched pages of the range; no lock is held.
    virtual void prepare_latch(PageRange range) noexcept = 0;
    virtual void begin_latch_change() noexcept = 0;
    virtual void end_latch_change() noexcept = 0;
    // Pages of this word that somebody outside has taken over since they were last published.
    virtual std::uint64_t taken_outside(std::uintptr_t word) noexcept = 0;
    // `added`: pages may have been latched again, so that what was taken before does not count.
    virtual void latched(std::uintptr_t word, std::uint64_t bits, bool added) noexcept = 0;

  protected:
    TallyBoard board_;
};

} // namespace writewatch::core
