// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/slice_directory.h"

#include "shim/sys/memory.h"

#include <cerrno>
#include <sys/mman.h>

namespace writewatch::sys {

Result<void> SliceDirectory::open() noexcept
{
    const auto memory = map_anonymous(slices * sizeof(Entry), PROT_READ | PROT_WRITE);
    if (!memory)
        return tl::unexpected(memory.error());
    // Zeroed memory is a valid array of atomics that hold 0.
    entries_ = reinterpret_cast<Entry*>(memory->start); // NOLINT(performance-no-int-to-ptr)
    return {};
}

void SliceDirectory::close() noexcept
{
    if (entries_ == nullptr)
        return;
    for (std::size_t slice = 0; slice < slices; ++slice) {
        const std::uintptr_t start = entries_[slice].load() & ~flag_bit;
        if (start != 0)
            (void)unmap({start, start + block_bytes_});
    }
    const auto start = reinterpret_cast<std::uintptr_t>(entries_);
    entries_ = nullptr;
    (void)unmap({start, start + slices * sizeof(Entry)});
}

Result<void> SliceDirectory::reserve(PageRange range) noexcept
{
    if (range.empty() || range.end > address_space_end)
        return fail(EINVAL, "the range is empty or above 47 bits", range);
    for (std::size_t slice = range.start >> slice_shift; slice <= (range.end - 1) >> slice_shift;
         ++slice) {
        if (entries_[slice].load(std::memory_order_acquire) != 0)
            continue;
        const auto memory = map_anonymous(block_bytes_, PROT_READ | PROT_WRITE);
        if (!memory)
            return tl::unexpected(memory.error());
        // Where huge pages are always on, one bit would make 2 MiB resident.
        (void)advise(*memory, MADV_NOHUGEPAGE);
        std::uintptr_t expected = 0;
        if (!entries_[slice].compare_exchange_strong(expected, memory->start,
                                                     std::memory_order_acq_rel))
            (void)unmap(*memory); // another thread was faster
    }
    return {};
}

} // namespace writewatch::sys
