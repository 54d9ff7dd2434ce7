// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/core/latch_map.h"

#include <algorithm>

namespace writewatch::core {

LatchMap::Word* LatchMap::word(std::uintptr_t address) const noexcept
{
    Word* const words = static_cast<Word*>(words_.block(address));
    return words == nullptr ? nullptr : words + (address / word_bytes) % words_per_slice;
}

template<typename Visitor> void LatchMap::for_each_used_word(PageRange range, Visitor visit) const
{
    constexpr std::uintptr_t slice_bytes = sys::SliceDirectory::slice_bytes;
    range.end = std::min(range.end, address_space_end);
    for (std::uintptr_t address = range.start & ~(word_bytes - 1); address < range.end;) {
        const std::uintptr_t slice_end = (address & ~(slice_bytes - 1)) + slice_bytes;
        if (words_.flagged(address)) {
            const std::uintptr_t end = std::min(range.end, slice_end);
            for (; address < end; address += word_bytes) {
                if (!visit(*word(address), address))
                    return;
            }
        }
        address = slice_end;
    }
}

void LatchMap::set(PageRange range) noexcept
{
    for (std::uintptr_t address = range.start & ~(word_bytes - 1); address < range.end;
         address += word_bytes)
        put(address, word_mask(address, range));
}

void LatchMap::clear(PageRange range) noexcept
{
    for_each_used_word(range, [&](Word& bits, std::uintptr_t address) {
        const std::uint64_t mask = word_mask(address, range);
        if ((bits.load(std::memory_order_relaxed) & mask) != 0)
            bits.fetch_and(~mask, std::memory_order_acq_rel);
        return true;
    });
}

bool LatchMap::any(PageRange range) const noexcept
{
    bool found = false;
    for_each_used_word(range, [&](const Word& bits, std::uintptr_t address) {
        found = (bits.load(std::memory_order_acquire) & word_mask(address, range)) != 0;
        return !found;
    });
    return found;
}

std::uint64_t LatchMap::load(std::uintptr_t address) const noexcept
{
    const Word* const bits = word(address);
    return bits == nullptr ? 0 : bits->load(std::memory_order_acquire);
}

std::uint64_t LatchMap::take(std::uintptr_t address, std::uint64_t mask) noexcept
{
    Word* const bits = word(address);
    if (bits == nullptr || (bits->load(std::memory_order_acquire) & mask) == 0)
        return 0;
    return bits->fetch_and(~mask, std::memory_order_acq_rel) & mask;
}

void LatchMap::put(std::uintptr_t address, std::uint64_t bits) noexcept
{
    Word* const target = word(address);
    if (target == nullptr || bits == 0)
        return;
    words_.set_flag(address); // first: a reader that skips the slice must not miss the bits
    target->fetch_or(bits, std::memory_order_acq_rel);
    generation_.fetch_add(1, std::memory_order_acq_rel);
}

} // namespace writewatch::core
