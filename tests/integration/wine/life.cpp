// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One watched allocation from reservation to release, with every call that the preload redirects.
#include "check.h"

#include <string_view>

namespace {

struct RangeEntry {
    void* address;
    SIZE_T size;
};
using SetInformation = NTSTATUS(NTAPI*)(HANDLE, ULONG, ULONG_PTR, RangeEntry*, void*, ULONG);

void test_life()
{
    volatile char* p = allocate_watched(16, MEM_RESERVE);
    CHECK(p != nullptr);
    CHECK(written(p, 16) == Pages{});
    CHECK(VirtualAlloc(unqualified(p), 16 * page, MEM_COMMIT, PAGE_READWRITE) != nullptr);
    CHECK(written(p, 16) == Pages{});
    p[3 * page] = 1;
    p[9 * page + 100] = 1;
    CHECK(written(p, 16) == (Pages{3, 9}));
    CHECK(written(p, 16, WRITE_WATCH_FLAG_RESET) == (Pages{3, 9}));
    CHECK(written(p, 16) == Pages{});
    p[3 * page] = 1;
    CHECK(ResetWriteWatch(unqualified(p), 16 * page) == 0);
    CHECK(written(p, 16) == Pages{});

    // MEM_RESET: dropped pages are clean, a later write counts.
    p[4 * page] = 1;
    CHECK(VirtualAlloc(unqualified(p), 16 * page, MEM_RESET, PAGE_READWRITE) != nullptr);
    p[5 * page] = 1;
    const Pages after = written(p, 16, WRITE_WATCH_FLAG_RESET);
    CHECK(after == Pages{5} || after == (Pages{4, 5}));

    CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
    CHECK(written(p, 16) == Pages{-1});
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER);
}

// Pages that are dirty when VirtualProtect covers them stay reported through a decommit.
void test_protect_latches()
{
    volatile char* p = allocate_watched(8);
    p[3 * page] = 1;
    DWORD old = 0;
    CHECK(VirtualProtect(unqualified(p), 6 * page, PAGE_READWRITE, &old) && old == PAGE_READWRITE);
    p[5 * page] = 1;
    CHECK(written(p, 8) == (Pages{3, 5}));
    CHECK(VirtualFree(unqualified(p), 8 * page, MEM_DECOMMIT));
    CHECK(written(p, 8) == Pages{3});
    CHECK(VirtualAlloc(unqualified(p), 8 * page, MEM_COMMIT, PAGE_READWRITE) != nullptr);
    CHECK(written(p, 8) == Pages{3});
    p[2 * page] = 1;
    p[4 * page] = 1;
    p[6 * page] = 1;
    CHECK(written(p, 8, WRITE_WATCH_FLAG_RESET) == (Pages{2, 3, 4, 6}));
    CHECK(written(p, 8) == Pages{});

    // A change that is refused changes nothing that the program can see.
    p[1 * page] = 1;
    CHECK(!VirtualProtect(unqualified(p), 8 * page, 0x1234, &old));
    CHECK(!VirtualProtect(unqualified(p), 8 * page, PAGE_READONLY, nullptr));
    CHECK(!VirtualProtect(unqualified(p), 9 * page, PAGE_READWRITE, &old));
    CHECK(VirtualFree(unqualified(p), 8 * page, MEM_DECOMMIT));
    CHECK(written(p, 8) == Pages{}); // nor was anything latched
    CHECK(VirtualAlloc(unqualified(p), 4 * page, MEM_COMMIT, PAGE_READWRITE) != nullptr);
    touch(p, {2});
    CHECK(!VirtualProtect(unqualified(p), 8 * page, PAGE_READWRITE, &old)); // not all is committed
    CHECK(VirtualFree(unqualified(p), 8 * page, MEM_DECOMMIT));
    CHECK(written(p, 8) == Pages{});
    CHECK(VirtualAlloc(unqualified(p), 8 * page, MEM_COMMIT, PAGE_READWRITE) != nullptr);

    CHECK(VirtualProtect(unqualified(p), page, PAGE_READONLY, &old) && old == PAGE_READWRITE);
    CHECK(written(p, 8) == Pages{});
    CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
}

void test_flags()
{
    CHECK(VirtualAlloc(nullptr, page, MEM_WRITE_WATCH, PAGE_READWRITE) == nullptr);
    CHECK(VirtualAlloc(nullptr, page, MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE) == nullptr);
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER);
    CHECK(VirtualAlloc(nullptr, page, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH | MEM_LARGE_PAGES,
                       PAGE_READWRITE) == nullptr);
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER);
    void* plain = VirtualAlloc(nullptr, 4 * page, MEM_RESERVE, PAGE_READWRITE);
    CHECK(VirtualAlloc(plain, page, MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE) == nullptr);
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER);
    CHECK(VirtualFree(plain, 0, MEM_RELEASE));
    CHECK(VirtualAlloc(nullptr, page, MEM_RESERVE | MEM_WRITE_WATCH, PAGE_WRITECOPY) == nullptr);
}

// A failed release keeps the watch.
void test_failed_release()
{
    volatile char* p = allocate_watched(4);
    p[0] = 1;
    CHECK(!VirtualFree(unqualified(p + page), 0, MEM_RELEASE));
    CHECK(!VirtualFree(unqualified(p), 64 * page, MEM_DECOMMIT));
    CHECK(!VirtualFree(unqualified(p), 0, MEM_RELEASE | MEM_DECOMMIT));
    CHECK(written(p, 4) == Pages{0});
    CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
}

// A decommit with size 0 is one of the whole allocation.
void test_decommit_all()
{
    volatile char* p = allocate_watched(4);
    touch(p, {0, 3});
    CHECK(VirtualFree(unqualified(p), 0, MEM_DECOMMIT));
    CHECK(written(p, 4) == Pages{});
    CHECK(VirtualAlloc(unqualified(p), 4 * page, MEM_COMMIT, PAGE_READWRITE) != nullptr);
    CHECK(p[0] == 0);
    p[2 * page] = 1;
    CHECK(written(p, 4, WRITE_WATCH_FLAG_RESET) == Pages{2});
    p[2 * page] = 1;
    CHECK(written(p, 4) == Pages{2});
    CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
}

// The same addresses again, without the flag: not watched.
void test_reuse()
{
    volatile char* p = allocate_watched(16);
    void* const address = unqualified(p);
    CHECK(VirtualFree(address, 0, MEM_RELEASE));
    volatile char* q = static_cast<volatile char*>(
        VirtualAlloc(address, 16 * page, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
    if (q == nullptr)
        return; // somebody else has it
    q[0] = 1;
    CHECK(written(q, 16) == Pages{-1});
    CHECK(VirtualFree(address, 0, MEM_RELEASE));
    q = static_cast<volatile char*>(VirtualAlloc(
        address, 16 * page, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE));
    if (q == nullptr)
        return;
    CHECK(written(q, 16) == Pages{});
    q[7 * page] = 1;
    CHECK(written(q, 16) == Pages{7});
    CHECK(VirtualFree(address, 0, MEM_RELEASE));
}

void test_dirty_state_information()
{
    const auto set_information = reinterpret_cast<SetInformation>(reinterpret_cast<void*>(
        GetProcAddress(GetModuleHandleA("ntdll"), "NtSetInformationVirtualMemory")));
    CHECK(set_information != nullptr);
    if (set_information == nullptr)
        return;
    constexpr ULONG dirty_state = 3; // VmPageDirtyStateInformation
    volatile char* p = allocate_watched(8);
    touch(p, {1, 5});
    RangeEntry ranges[] = {{unqualified(p), 2 * page}, {unqualified(p + 6 * page), page}};
    ULONG zero = 0;
    ULONG one = 1;
    const auto set = [&](ULONG_PTR count, ULONG* value, ULONG size) {
        return static_cast<ULONG>(
            set_information(GetCurrentProcess(), dirty_state, count, ranges, value, size));
    };
    CHECK(set(2, nullptr, 4) == 0xC00000F3);
    CHECK(set(2, &zero, 8) == 0xC00000F4);
    CHECK(set(2, &one, 4) == 0xC00000F3);
    CHECK(written(p, 8) == (Pages{1, 5}));
    CHECK(set(2, &zero, 4) == 0);
    CHECK(written(p, 8) == Pages{5});
    CHECK(VirtualFree(unqualified(p), 0, MEM_RELEASE));
}

} // namespace

int main(int argc, char** argv)
{
    test_life();
    if (argc > 1 && std::string_view(argv[1]) == "stock")
        return finish("life, as Wine itself watches");
    test_protect_latches();
    test_flags();
    test_failed_release();
    test_decommit_all();
    test_reuse();
    test_dirty_state_information();
    return finish("life");
}
