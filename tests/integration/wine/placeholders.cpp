// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Placeholders and releases of a part (Wine 10.0; Wine 8.0 has neither): regions shrink and split.
#include "check.h"

namespace {

constexpr ULONG preserve_placeholder = 0x2;
constexpr ULONG coalesce_placeholders = 0x1;
constexpr ULONG reserve_placeholder = 0x40000;
constexpr ULONG replace_placeholder = 0x4000;

using AllocateEx = NTSTATUS(NTAPI*)(HANDLE, void**, SIZE_T*, ULONG, ULONG, void*, ULONG);
AllocateEx allocate_ex = nullptr;

NTSTATUS allocate(void*& base, SIZE_T size, ULONG type, ULONG protect)
{
    return allocate_ex(GetCurrentProcess(), &base, &size, type, protect, nullptr, 0);
}

volatile char* replace(volatile char* at, SIZE_T pages, ULONG more)
{
    void* base = unqualified(at);
    const NTSTATUS status = allocate(
        base, pages * page, MEM_RESERVE | MEM_COMMIT | replace_placeholder | more, PAGE_READWRITE);
    CHECK(status == 0);
    return static_cast<volatile char*>(base);
}

void test_replaced_placeholder()
{
    void* base = nullptr;
    CHECK(allocate(base, 48 * page, MEM_RESERVE | reserve_placeholder, PAGE_NOACCESS) == 0);
    auto* p = static_cast<volatile char*>(base);
    // Split into three of 16 pages; the middle one becomes watched memory.
    CHECK(VirtualFree(unqualified(p + 16 * page), 16 * page, MEM_RELEASE | preserve_placeholder));
    volatile char* q = replace(p + 16 * page, 16, MEM_WRITE_WATCH);
    CHECK(written(q, 16) == Pages{});
    CHECK(written(p, 16) == Pages{-1});
    q[3 * page] = 1;
    CHECK(written(q, 16, WRITE_WATCH_FLAG_RESET) == Pages{3});
    CHECK(written(q, 16) == Pages{});

    // Back to a placeholder: no longer watched; replaced without the flag: still not; with it:
    // afresh.
    q[4 * page] = 1;
    CHECK(VirtualFree(unqualified(q), 16 * page, MEM_RELEASE | preserve_placeholder));
    CHECK(written(q, 16) == Pages{-1});
    q = replace(q, 16, 0);
    q[5 * page] = 1;
    CHECK(written(q, 16) == Pages{-1});
    CHECK(VirtualFree(unqualified(q), 16 * page, MEM_RELEASE | preserve_placeholder));
    q = replace(q, 16, MEM_WRITE_WATCH);
    CHECK(written(q, 16) == Pages{});
    q[6 * page] = 1;
    CHECK(written(q, 16) == Pages{6});
    CHECK(VirtualFree(unqualified(q), 0, MEM_RELEASE));
    CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
    CHECK(VirtualFree(unqualified(p + 32 * page), 0, MEM_RELEASE));
}

// Part of a watched replacement goes back to a placeholder: what is left stays watched.
void test_partial_preserve()
{
    void* base = nullptr;
    CHECK(allocate(base, 16 * page, MEM_RESERVE | reserve_placeholder, PAGE_NOACCESS) == 0);
    volatile char* p = replace(static_cast<volatile char*>(base), 16, MEM_WRITE_WATCH);
    DWORD old = 0;
    touch(p, {1, 5, 14});
    CHECK(VirtualProtect(unqualified(p), 16 * page, PAGE_READWRITE, &old)); // latched
    CHECK(VirtualFree(unqualified(p + 4 * page), 4 * page, MEM_RELEASE | preserve_placeholder));
    CHECK(written(p, 4) == Pages{1});
    CHECK(written(p + 8 * page, 8) == Pages{6});
    CHECK(written(p, 16) == Pages{-1});
    CHECK(written(p + 4 * page, 4) == Pages{-1});
    // The latch of the part that went must not come back with its addresses.
    volatile char* q = replace(p + 4 * page, 4, MEM_WRITE_WATCH);
    CHECK(written(q, 4) == Pages{});
    CHECK(VirtualFree(unqualified(q), 0, MEM_RELEASE));
    CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
    CHECK(VirtualFree(unqualified(p + 8 * page), 0, MEM_RELEASE));
}

using Free = NTSTATUS(NTAPI*)(HANDLE, void**, SIZE_T*, ULONG);

// Kernel32 refuses sizes with MEM_RELEASE, the system call does not.
bool release(volatile char* at, SIZE_T pages)
{
    static const auto free_memory = reinterpret_cast<Free>(
        reinterpret_cast<void*>(GetProcAddress(GetModuleHandleA("ntdll"), "NtFreeVirtualMemory")));
    void* base = unqualified(at);
    SIZE_T size = pages * page;
    return free_memory(GetCurrentProcess(), &base, &size, MEM_RELEASE) == 0 &&
           base == unqualified(at) && size == pages * page;
}

// MEM_RELEASE of a part of an ordinary allocation: at the start, at the end, in the middle.
bool test_partial_release()
{
    volatile char* p = allocate_watched(64);
    touch(p, {0, 20, 40, 63});
    if (!release(p, 16)) {
        CHECK(written(p, 64) == (Pages{0, 20, 40, 63}));
        CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
        return false;
    }
    CHECK(release(p + 56 * page, 8));
    CHECK(release(p + 32 * page, 4));
    CHECK(written(p, 16) == Pages{-1});
    CHECK(written(p + 16 * page, 16) == Pages{4});
    CHECK(written(p + 36 * page, 20) == Pages{4});
    CHECK(written(p + 56 * page, 8) == Pages{-1});
    CHECK(written(p + 32 * page, 4) == Pages{-1});
    CHECK(written(p + 16 * page, 40) == Pages{-1});
    // What is left is tracked as before.
    CHECK(ResetWriteWatch(unqualified(p + 36 * page), 20 * page) == 0);
    touch(p, {50});
    CHECK(written(p + 36 * page, 20) == Pages{14});
    CHECK(written(p + 16 * page, 16) == Pages{4});
    CHECK(VirtualFree(unqualified(p + 16 * page), 0, MEM_RELEASE));
    CHECK(VirtualFree(unqualified(p + 36 * page), 0, MEM_RELEASE));
    CHECK(written(p + 36 * page, 20) == Pages{-1});
    return true;
}

} // namespace

int main()
{
    allocate_ex = reinterpret_cast<AllocateEx>(reinterpret_cast<void*>(
        GetProcAddress(GetModuleHandleA("ntdll"), "NtAllocateVirtualMemoryEx")));
    void* base = nullptr;
    const bool has_placeholders =
        allocate_ex != nullptr &&
        allocate(base, 16 * page, MEM_RESERVE | reserve_placeholder, PAGE_NOACCESS) == 0;
    const bool has_partial_release = test_partial_release();
    std::printf("this Wine has %splaceholders and %sreleases of a part\n",
                has_placeholders ? "" : "no ", has_partial_release ? "" : "no ");
    if (has_placeholders) {
        CHECK(VirtualFree(base, 0, MEM_RELEASE));
        test_replaced_placeholder();
        test_partial_preserve();
    }
    return finish("placeholders");
}
