// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Each pointer of each call about watches: null, misaligned, unmapped, read-only, half mapped. A
// fault comes back as the Windows status, resets nothing, and later calls still work.
#include "check.h"

namespace {

constexpr auto access_violation = static_cast<NTSTATUS>(0xC0000005);
constexpr SIZE_T pages = 8;

volatile char* watched = nullptr;
char* unmapped = nullptr;
char* read_only = nullptr;
char* edge = nullptr; // the byte after the last mapped one

// As the program would use it: the two pages written here must both still be reported.
void expect_state_kept(const char* after)
{
    const Pages now = written(watched, pages);
    if (now == Pages{1, 6})
        return;
    std::printf("state was lost after %s\n", after);
    ++failures;
}

void test_get(const char* what, void** addresses, ULONG_PTR* count, ULONG* granularity)
{
    const NTSTATUS status =
        NtGetWriteWatch(GetCurrentProcess(), WRITE_WATCH_FLAG_RESET, unqualified(watched),
                        pages * page, addresses, count, granularity);
    if (status != access_violation) {
        std::printf("get, %s: status %lx\n", what, static_cast<unsigned long>(status));
        ++failures;
    }
    expect_state_kept(what);
}

template<typename T> T* at(char* address)
{
    return reinterpret_cast<T*>(address);
}

void test_get_pointers()
{
    void* addresses[pages];
    ULONG_PTR count = pages;
    ULONG granularity = 0xdead;

    test_get("addresses null", nullptr, &count, &granularity);
    test_get("addresses unmapped", at<void*>(unmapped), &count, &granularity);
    test_get("addresses read-only", at<void*>(read_only), &count, &granularity);
    test_get("addresses half mapped", at<void*>(edge - 8), &count, &granularity);
    test_get("addresses in kernel space", at<void*>(reinterpret_cast<char*>(0xffff800000000000)),
             &count, &granularity);
    CHECK(count == pages && granularity == 0xdead);

    test_get("count null", addresses, nullptr, &granularity);
    test_get("count unmapped", addresses, at<ULONG_PTR>(unmapped), &granularity);
    test_get("count half mapped", addresses, at<ULONG_PTR>(edge - 4), &granularity);
    CHECK(granularity == 0xdead);
    test_get("granularity null", addresses, &count, nullptr);
    test_get("granularity unmapped", addresses, &count, at<ULONG>(unmapped));
    test_get("granularity read-only", addresses, &count, at<ULONG>(read_only));
    test_get("granularity half mapped", addresses, &count, at<ULONG>(edge - 2));
    CHECK(count == pages);

    // A count that is readable and not zero, but cannot be written.
    DWORD old = 0;
    VirtualProtect(read_only, page, PAGE_READWRITE, &old);
    std::memset(read_only, 1, page);
    VirtualProtect(read_only, page, PAGE_READONLY, &old);
    test_get("count read-only", addresses, at<ULONG_PTR>(read_only), &granularity);

    // A larger count than the array has room for, as programs pass: only what can be returned
    // counts.
    count = ~ULONG_PTR{0} / 16;
    CHECK(NtGetWriteWatch(GetCurrentProcess(), 0, unqualified(watched), pages * page,
                          at<void*>(edge - pages * sizeof(void*)), &count, &granularity) == 0);
    CHECK(count == 2 && granularity == page);

    // Windows does not mind misaligned pointers.
    alignas(16) char buffer[256] = {};
    auto* misaligned_addresses = at<void*>(buffer + 3);
    auto* misaligned_count = at<ULONG_PTR>(buffer + 128 + 1);
    auto* misaligned_granularity = at<ULONG>(buffer + 192 + 2);
    const ULONG_PTR eight = pages;
    std::memcpy(misaligned_count, &eight, sizeof(eight));
    CHECK(NtGetWriteWatch(GetCurrentProcess(), 0, unqualified(watched), pages * page,
                          misaligned_addresses, misaligned_count, misaligned_granularity) == 0);
    ULONG_PTR found = 0;
    void* second = nullptr;
    std::memcpy(&found, misaligned_count, sizeof(found));
    std::memcpy(&second, buffer + 3 + sizeof(void*), sizeof(second));
    CHECK(found == 2 && second == unqualified(watched + 6 * page));
    expect_state_kept("misaligned pointers");
}

void test_ranges()
{
    void* addresses[pages];
    const auto get = [&](ULONG flags, void* base, SIZE_T size, ULONG_PTR count) {
        DWORD granularity = 0;
        SetLastError(0xdead);
        const UINT result = GetWriteWatch(flags, base, size, addresses, &count, &granularity);
        return result == 0 ? 0ul : GetLastError();
    };
    char* const base = static_cast<char*>(unqualified(watched));
    CHECK(get(0, base, 0, pages) == ERROR_INVALID_PARAMETER);
    CHECK(get(0, base, pages * page, 0) == ERROR_INVALID_PARAMETER);
    CHECK(get(2, base, pages * page, pages) == ERROR_INVALID_PARAMETER);
    CHECK(get(0, base, pages * page + 1, pages) == ERROR_INVALID_PARAMETER);
    CHECK(get(0, base + 1, pages * page, pages) == ERROR_INVALID_PARAMETER);
    CHECK(get(0, base, ~SIZE_T{0}, pages) == ERROR_INVALID_PARAMETER);
    CHECK(get(0, base, ~SIZE_T{0} - reinterpret_cast<SIZE_T>(base) + 1, pages) ==
          ERROR_INVALID_PARAMETER);
    CHECK(get(0, nullptr, page, pages) == ERROR_INVALID_PARAMETER);
    CHECK(get(0, reinterpret_cast<void*>(&test_get_pointers), page, pages) ==
          ERROR_INVALID_PARAMETER);
    CHECK(get(0, reinterpret_cast<void*>(0xffff800000000000), page, pages) ==
          ERROR_INVALID_PARAMETER);
    CHECK(get(0, base, pages * page, pages) == 0);
    CHECK(ResetWriteWatch(base, 0) == ~0u && GetLastError() == ERROR_INVALID_PARAMETER);
    CHECK(ResetWriteWatch(base, pages * page + 1) == ~0u &&
          GetLastError() == ERROR_INVALID_PARAMETER);
    CHECK(ResetWriteWatch(nullptr, page) == ~0u && GetLastError() == ERROR_INVALID_PARAMETER);
    expect_state_kept("bad ranges");
}

using Allocate = NTSTATUS(NTAPI*)(HANDLE, void**, ULONG_PTR, SIZE_T*, ULONG, ULONG);
using Free = NTSTATUS(NTAPI*)(HANDLE, void**, SIZE_T*, ULONG);
using Protect = NTSTATUS(NTAPI*)(HANDLE, void**, SIZE_T*, ULONG, ULONG*);

template<typename T> T ntdll_function(const char* name)
{
    return reinterpret_cast<T>(
        reinterpret_cast<void*>(GetProcAddress(GetModuleHandleA("ntdll"), name)));
}

// In and out parameters of the calls on memory: whatever faults, the watch and its state stay.
void test_memory_calls()
{
    const auto allocate = ntdll_function<Allocate>("NtAllocateVirtualMemory");
    const auto free_memory = ntdll_function<Free>("NtFreeVirtualMemory");
    const auto protect = ntdll_function<Protect>("NtProtectVirtualMemory");
    HANDLE self = GetCurrentProcess();
    constexpr ULONG type = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH;

    void* base = nullptr;
    SIZE_T size = page;
    for (char* bad : {static_cast<char*>(nullptr), unmapped, read_only, edge - 4}) {
        CHECK(allocate(self, at<void*>(bad), 0, &size, type, PAGE_READWRITE) == access_violation);
        CHECK(allocate(self, &base, 0, at<SIZE_T>(bad), type, PAGE_READWRITE) == access_violation);
        CHECK(base == nullptr && size == page);
        if (bad == read_only)
            continue; // its contents are not an address
        CHECK(free_memory(self, at<void*>(bad), &size, MEM_DECOMMIT) == access_violation);
        CHECK(protect(self, at<void*>(bad), &size, PAGE_READONLY, at<ULONG>(unmapped)) ==
              access_violation);
    }
    void* address = unqualified(watched);
    size = pages * page;
    ULONG old = 0;
    for (char* bad : {unmapped, edge - 4}) {
        CHECK(free_memory(self, &address, at<SIZE_T>(bad), MEM_DECOMMIT) == access_violation);
        CHECK(protect(self, &address, at<SIZE_T>(bad), PAGE_READWRITE, &old) == access_violation);
    }
    for (char* bad : {static_cast<char*>(nullptr), unmapped, read_only, edge - 2})
        CHECK(protect(self, &address, &size, PAGE_READWRITE, at<ULONG>(bad)) == access_violation);
    expect_state_kept("bad pointers of memory calls");
    CHECK(address == unqualified(watched) && size == pages * page);
}

} // namespace

int main()
{
    watched = allocate_watched(pages);
    unmapped = static_cast<char*>(VirtualAlloc(nullptr, page, MEM_RESERVE, PAGE_NOACCESS));
    read_only =
        static_cast<char*>(VirtualAlloc(nullptr, page, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY));
    auto* two = static_cast<char*>(VirtualAlloc(nullptr, 2 * page, MEM_RESERVE, PAGE_NOACCESS));
    CHECK(VirtualAlloc(two, page, MEM_COMMIT, PAGE_READWRITE) != nullptr);
    std::memset(two, 0xff, page);
    edge = two + page;
    touch(watched, {1, 6});

    test_get_pointers();
    test_ranges();
    test_memory_calls();
    expect_state_kept("everything");
    CHECK(written(watched, pages, WRITE_WATCH_FLAG_RESET) == (Pages{1, 6}));
    CHECK(written(watched, pages) == Pages{});
    CHECK(VirtualFree(unqualified(watched), 0, MEM_RELEASE));
    return finish("pointers");
}
