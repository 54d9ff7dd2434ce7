// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The program's parameters, which it passes by pointer. A bad pointer faults here: natively that is
// a SIGSEGV at the place of the mistake; under Wine the program gets STATUS_ACCESS_VIOLATION, from
// the faulting instruction, and nothing of ours runs any more. So call these with nothing held and
// nothing half done.
#pragma once

#include "shim/sys/page.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace writewatch::win32 {

// Pointers of programs may be misaligned; Windows does not mind on this architecture.
template<typename T> T read_from_program(const T* parameter) noexcept
{
    T value;
    std::memcpy(&value, parameter, sizeof(value));
    return value;
}

template<typename T> void write_to_program(T* parameter, T value) noexcept
{
    std::memcpy(parameter, &value, sizeof(value));
}

// Faults unless the program can write all of it. An atomic OR with 0 needs write access and changes
// nothing that another thread may be writing; of one byte a page, since a locked access across
// cache lines is a fault of its own on some systems (split lock detection).
inline void probe_for_write(void* memory, std::size_t bytes) noexcept
{
    auto* const first = static_cast<unsigned char*>(memory);
    const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(memory);
    __atomic_fetch_or(first, 0, __ATOMIC_RELAXED);
    for (std::uintptr_t page = page_floor(start) + page_size; page < start + bytes;
         page += page_size)
        __atomic_fetch_or(first + (page - start), 0, __ATOMIC_RELAXED);
}

template<typename T> void probe_for_write(T* parameter) noexcept
{
    probe_for_write(parameter, sizeof(T));
}

// The pages that [base, base + size) touches. Empty when it wraps.
inline PageRange touched_pages(const void* base, std::size_t size) noexcept
{
    const auto start = reinterpret_cast<std::uintptr_t>(base);
    if (start + size < start || page_ceil(start + size) < start)
        return {};
    return {page_floor(start), page_ceil(start + size)};
}

} // namespace writewatch::win32
