// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Publishes what this process watches: the writer of a segment (layout.h), as the observer of its
// watch sets. One for each library of ours in a process.
//
// The segment is made when the first region is watched, and its name removed at exit. What cannot
// be published (no shared memory, or it is full) is not: the library works on, and says so once. In
// a child by fork the parent's segment is forgotten, and one of its own made at its first call.
//
// Counters: the records of regions are in shared memory, so a call adds to them where readers look.
// Regions' changes and latched pages are written under a lock, one store each between two sequence
// numbers. Nobody outside is ever waited for, and nothing outside is believed but requests to
// forget latched pages, which those who may write to the segment may make.
#pragma once

#include "shim/core/observer.h"
#include "shim/registry/layout.h"
#include "shim/registry/segment.h"
#include "shim/sys/fork.h"
#include "shim/sys/result.h"
#include "shim/sys/signals.h"
#include "shim/sys/slice_directory.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace writewatch::registry {

// What a Windows process is, beside a process. Texts are cut to fit, and end with 0.
struct WindowsIdentity {
    std::uint32_t windows_pid = 0;
    std::uint64_t prefix_device = 0;
    std::uint64_t prefix_inode = 0;
    std::array<char, sizeof(Header::image)> image{};
    std::array<char, sizeof(Header::prefix)> prefix{};
};
void set_text(std::span<char> field, std::string_view text) noexcept;

// False: WRITEWATCH_REGISTRY=0, or a privileged process (AT_SECURE), about which nobody shall learn
// anything.
bool is_enabled() noexcept;

class Publisher final : public core::Observer {
  public:
    // Under Wine: called when a segment is made, with no lock held.
    using Identify = void (*)(WindowsIdentity& identity) noexcept;

    explicit Publisher(Host host, Identify identify = nullptr) noexcept
        : host_(host), identify_(identify)
    {}
    // When no watch set uses it any more. A host that lives as long as its process need not.
    ~Publisher() override;
    Publisher(const Publisher&) = delete;
    Publisher& operator=(const Publisher&) = delete;

    // Before the watch sets that it observes are opened (the order of locks at fork); once.
    Result<void> open() noexcept;
    // The same if the registry is wanted: itself, or null.
    Publisher* open_if_enabled() noexcept;

    // What tracks the writes, and why not something better; the first call counts.
    void set_backend(std::string_view name, std::string_view reason) noexcept;

    // Removes the segment's name, for tests and at the process's end.
    void end() noexcept;

    void prepare() noexcept override;
    core::RecordNumber reserve_record() noexcept override;
    void added(core::RecordNumber record, std::uint64_t id, PageRange range, backend::Mode mode,
               std::uint32_t protection) noexcept override;
    void changed(core::RecordNumber record, PageRange range) noexcept override;
    void split(core::RecordNumber from, core::RecordNumber record, std::uint64_t id,
               PageRange range) noexcept override;
    void removed(core::RecordNumber record) noexcept override;

    void prepare_latch(PageRange range) noexcept override;
    void begin_latch_change() noexcept override;
    void end_latch_change() noexcept override;
    std::uint64_t taken_outside(std::uintptr_t word) noexcept override;
    void latched(std::uintptr_t word, std::uint64_t bits, bool added) noexcept override;

  private:
    class Lock;
    class RegionChange;

    static void in_child(void* self) noexcept;
    void forget_parent() noexcept;
    Result<void> make_segment() noexcept;
    Result<void> add_region_chunk() noexcept;
    Result<void> add_latch_chunk() noexcept;
    void report(const Error& error) noexcept;

    RegionRecord* region_record(core::RecordNumber number) const noexcept;
    bool is_live(core::RecordNumber record) const noexcept;
    std::uint32_t* window_index(std::uintptr_t address) const noexcept;
    LatchRecord* latch_record(std::uintptr_t address) const noexcept;
    LatchRecord* new_latch_record(std::uintptr_t address) noexcept;
    void write_region(RegionRecord& record, std::uint64_t id, PageRange range, RegionMode mode,
                      std::uint32_t protection, std::uint64_t created) noexcept;

    Host host_;
    Identify identify_;
    std::array<char, sizeof(Header::backend)> backend_{};
    std::array<char, sizeof(Header::backend_reason)> backend_reason_{};
    sys::ForkPage lock_;
    std::atomic<bool> busy_{false};   // a thread makes or extends the segment
    std::atomic<bool> failed_{false}; // no more attempts
    Segment* segment_ = nullptr;      // leaked in a child, where its mappings are not
    std::atomic<Header*> header_{nullptr};

    // Mapped records; those of regions are board_'s.
    std::array<std::byte*, latch_chunks> latch_chunks_{};
    unsigned region_chunk_count_ = 0;
    unsigned latch_chunk_count_ = 0;

    // Private: what is in the segment may have been scribbled on. For each record the next free
    // one, or that it is live.
    std::uint32_t* next_free_ = nullptr;
    std::uint32_t first_free_ = 0;
    std::uint32_t last_free_ = 0;
    std::uint32_t free_count_ = 0;
    std::uint32_t used_ = 1; // records [1, used_) have been in use
    std::atomic<std::uint32_t> spare_{0};
    std::uint32_t capacity_ = 0;

    std::uint32_t latch_used_ = 0;
    std::uint32_t latch_capacity_ = 0;
    sys::SliceDirectory windows_{page_size}; // window -> number of its record + 1
    sys::SavedSignals signals_of_latch_change_{};
};

} // namespace writewatch::registry
