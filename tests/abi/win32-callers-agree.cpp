// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Code that is compiled with our header and code that is compiled with Wine's call the same
// functions of libwritewatch-win32, in one program: seven arguments, stack slots included, arrive
// on both ways.
#include <cstdio>
#include <writewatch/win32.h>

extern "C" int query_with_wines_headers(void* base, unsigned long size, unsigned long page);

int main()
{
    constexpr SIZE_T page = 4096;
    constexpr SIZE_T size = 16 * page;
    void* const base =
        VirtualAlloc(nullptr, size, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    if (base == nullptr) {
        std::fprintf(stderr, "FAILED: VirtualAlloc: error %u\n", GetLastError());
        return 1;
    }
    static_cast<volatile char*>(base)[page + 5] = 1;
    if (const int step = query_with_wines_headers(base, size, page); step != 0) {
        std::fprintf(stderr, "FAILED: with Wine's headers, step %d\n", step);
        return 1;
    }
    void* addresses[4] = {};
    ULONG_PTR count = 4;
    ULONG granularity = 0;
    if (NtGetWriteWatch(NtCurrentProcess(), 0, base, size, addresses, &count, &granularity) !=
            STATUS_SUCCESS ||
        count != 0 || granularity != page) {
        std::fprintf(stderr, "FAILED: with our header, after the reset: %lu pages\n", count);
        return 1;
    }
    return VirtualFree(base, 0, MEM_RELEASE) == TRUE ? 0 : 1;
}
