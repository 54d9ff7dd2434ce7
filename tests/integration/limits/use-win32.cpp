// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Uses the Win32 calls once and prints what they answered: "VirtualAlloc ANSWER", "GetWriteWatch
// ANSWER". An answer is "ok", or the last error's number.
#include <writewatch/win32.h>

#include <cstdio>

int main()
{
    constexpr SIZE_T page = 4096;
    // Memory without a watch is to be had always.
    if (VirtualAlloc(nullptr, page, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE) == nullptr)
        std::printf("VirtualAlloc without a watch %u\n", GetLastError());
    void* const memory =
        VirtualAlloc(nullptr, 4 * page, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    if (memory == nullptr) {
        std::printf("VirtualAlloc %u\n", GetLastError());
        return 0;
    }
    std::puts("VirtualAlloc ok");
    static_cast<volatile char*>(memory)[2 * page] = 1;
    void* found[4];
    ULONG_PTR count = 4;
    ULONG granularity = 0;
    if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, memory, 4 * page, found, &count, &granularity) != 0) {
        std::printf("GetWriteWatch %u\n", GetLastError());
        return 0;
    }
    std::puts("GetWriteWatch ok");
    return count == 1 && found[0] == static_cast<char*>(memory) + 2 * page ? 0 : 1;
}
