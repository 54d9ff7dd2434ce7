// SPDX-License-Identifier: LGPL-2.1-or-later
//
// For the Windows programs of these tests: checks that count, and a watched region with the calls
// on it.
#pragma once

#include <writewatch/win32.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <vector>

constexpr SIZE_T page = 4096;

inline int failures = 0;

inline void check(bool ok, const char* file, int line, const char* what)
{
    if (ok)
        return;
    std::printf("%s:%d: failed: %s (last error %lu)\n", file, line, what,
                static_cast<unsigned long>(GetLastError()));
    ++failures;
}
#define CHECK(condition) check((condition), __FILE__, __LINE__, #condition)

inline int finish(const char* program)
{
    std::printf("%s: %s\n", program, failures == 0 ? "ok" : "FAILED");
    std::fflush(stdout);
    return failures == 0 ? 0 : 1;
}

// Ends the program with the code that means "cannot be tested here".
[[noreturn]] inline void skip(const char* reason)
{
    std::printf("skipped: %s\n", reason);
    std::fflush(stdout);
    std::exit(77);
}

inline volatile char* allocate_watched(SIZE_T pages, DWORD type = MEM_RESERVE | MEM_COMMIT)
{
    return static_cast<volatile char*>(
        VirtualAlloc(nullptr, pages * page, type | MEM_WRITE_WATCH, PAGE_READWRITE));
}

inline void* unqualified(volatile void* address)
{
    return const_cast<void*>(address);
}

// The numbers of the written pages; {-1} when the call fails.
inline std::vector<long> written(volatile char* base, SIZE_T pages, DWORD flags = 0)
{
    std::vector<void*> addresses(pages);
    ULONG_PTR count = pages;
    DWORD granularity = 0;
    if (GetWriteWatch(flags, unqualified(base), pages * page, addresses.data(), &count,
                      &granularity) != 0)
        return {-1};
    std::vector<long> numbers;
    for (ULONG_PTR i = 0; i < count; ++i)
        numbers.push_back(static_cast<long>(
            (static_cast<char*>(addresses[i]) - static_cast<char*>(unqualified(base))) /
            static_cast<long>(page)));
    return numbers;
}

using Pages = std::vector<long>;

// Writes to pages, by their numbers.
inline void touch(volatile char* base, std::initializer_list<SIZE_T> numbers)
{
    for (const SIZE_T number : numbers)
        base[number * page] = 1;
}
