// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The program's in/out parameters. A bad pointer faults here, and Wine returns
// STATUS_ACCESS_VIOLATION to the program from the faulting instruction: call these with nothing
// held and nothing half done.
#pragma once

#include "shim/sys/page.h"

#include <cstddef>
#include <cstring>

namespace writewatch::wine {

// Pointers of programs may be misaligned; Windows does not mind on this architecture.
template<typename T> T read_from_program(const T* parameter)
{
    T value;
    std::memcpy(&value, parameter, sizeof(value));
    return value;
}

template<typename T> void write_to_program(T* parameter, T value)
{
    std::memcpy(parameter, &value, sizeof(value));
}

// Faults unless the program can write the whole parameter. Changes nothing, and loses no write of
// another thread: hence the atomic OR, of bytes, since a locked access must not cross a cache line.
template<typename T> void probe_for_write(T* parameter)
{
    auto* bytes = reinterpret_cast<unsigned char*>(parameter);
    __atomic_fetch_or(bytes, 0, __ATOMIC_RELAXED);
    __atomic_fetch_or(bytes + sizeof(T) - 1, 0, __ATOMIC_RELAXED);
}

// The pages that [base, base + size) touches. Empty when it wraps.
inline PageRange touched_pages(const void* base, std::size_t size)
{
    const auto start = reinterpret_cast<std::uintptr_t>(base);
    if (start + size < start || page_ceil(start + size) < start)
        return {};
    return {page_floor(start), page_ceil(start + size)};
}

} // namespace writewatch::wine
