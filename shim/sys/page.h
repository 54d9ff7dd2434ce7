// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>

namespace writewatch {

// x86-64 has one base page size.
inline constexpr std::size_t page_size = 4096;
inline constexpr unsigned page_shift = 12;

// The user half of a 47-bit address space. Linux gives higher addresses (5-level page tables) only
// to a caller that asks with such a hint (Documentation/arch/x86/x86_64/5level-paging.rst).
inline constexpr std::uintptr_t address_space_end = std::uintptr_t{1} << 47;

constexpr std::uintptr_t page_floor(std::uintptr_t address)
{
    return address & ~(page_size - 1);
}

constexpr std::uintptr_t page_ceil(std::uintptr_t address)
{
    return page_floor(address + page_size - 1);
}

// Whole pages [start, end). The core and everything below it see page-aligned ranges only.
struct PageRange {
    std::uintptr_t start = 0;
    std::uintptr_t end = 0;

    constexpr std::size_t bytes() const { return end - start; }
    constexpr std::size_t pages() const { return (end - start) >> page_shift; }
    constexpr bool empty() const { return start >= end; }
    constexpr bool contains(std::uintptr_t address) const
    {
        return address >= start && address < end;
    }
    constexpr bool contains(PageRange other) const
    {
        return other.start >= start && other.end <= end;
    }
    constexpr PageRange intersect(PageRange other) const
    {
        return {start > other.start ? start : other.start, end < other.end ? end : other.end};
    }

    // An empty range overlaps nothing.
    constexpr bool overlaps(PageRange other) const { return !intersect(other).empty(); }

    friend constexpr bool operator==(PageRange, PageRange) = default;
};

} // namespace writewatch
