// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/sys/result.h"

#include <atomic>

namespace writewatch::sys {

// A sparse array over the address space, keyed by address: 65,536 slices of 2 GiB, each with a
// block of zeroed memory that is mapped when first reserved and kept until close. Lock-free, and
// usable in signal handlers once reserved. Memory that nobody touched is not resident.
class SliceDirectory {
  public:
    static constexpr unsigned slice_shift = 31;
    static constexpr std::uintptr_t slice_bytes = std::uintptr_t{1} << slice_shift;
    static constexpr std::size_t slices = address_space_end >> slice_shift;

    // `block_bytes`: whole pages of data for each slice.
    explicit constexpr SliceDirectory(std::size_t block_bytes) noexcept : block_bytes_(block_bytes)
    {}

    Result<void> open() noexcept;
    void close() noexcept;

    // Maps the blocks that the range needs.
    Result<void> reserve(PageRange range) noexcept;

    // The block of the slice that the address lies in; nullptr when none was reserved.
    void* block(std::uintptr_t address) const noexcept
    {
        if (address >= address_space_end)
            return nullptr;
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        return reinterpret_cast<void*>(entry(address).load(std::memory_order_acquire) & ~flag_bit);
    }

    // A mark per slice, for the owner's use; once set it stays.
    bool flagged(std::uintptr_t address) const noexcept
    {
        return (entry(address).load(std::memory_order_acquire) & flag_bit) != 0;
    }
    void set_flag(std::uintptr_t address) noexcept
    {
        if (!flagged(address))
            entry(address).fetch_or(flag_bit, std::memory_order_acq_rel);
    }

  private:
    using Entry = std::atomic<std::uintptr_t>;
    static constexpr std::uintptr_t flag_bit = 1;

    Entry& entry(std::uintptr_t address) const noexcept { return entries_[address >> slice_shift]; }

    std::size_t block_bytes_;
    Entry* entries_ = nullptr;
};

} // namespace writewatch::sys
