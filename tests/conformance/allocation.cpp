// SPDX-License-Identifier: LGPL-2.1-or-later
// Where a watch can be set, and with what.
#include "ask.h"
#include "memory.h"

using namespace conformance;

RULE(allocation, watch_needs_reserve, "Microsoft Learn: VirtualAlloc")
{
    check_allocation_fails(nullptr, page_size, MEM_WRITE_WATCH, PAGE_READWRITE,
                           ERROR_INVALID_PARAMETER);
    check_allocation_fails(nullptr, page_size, MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE,
                           ERROR_INVALID_PARAMETER);
}

RULE(allocation, watch_cannot_be_added_by_a_commit, "Microsoft Learn: VirtualAlloc")
{
    Region plain(8, MEM_RESERVE);
    check_allocation_fails(plain.base(), plain.size(), MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE,
                           ERROR_INVALID_PARAMETER);
    check_allocation_fails(plain.base(), plain.size(), MEM_WRITE_WATCH, PAGE_READWRITE,
                           ERROR_INVALID_PARAMETER);
    check_fails({.base = plain.base(), .size = plain.size()}, ERROR_INVALID_PARAMETER);
}

RULE(allocation, commit_in_a_watched_reservation_must_not_repeat_the_watch,
     "Microsoft Learn: VirtualAlloc")
{
    Region region(8, reserved);
    check_allocation_fails(region.base(), region.size(), MEM_COMMIT | MEM_WRITE_WATCH,
                           PAGE_READWRITE, ERROR_INVALID_PARAMETER);
    region.commit(0, 8);
    region.write(2);
    check_equal("pages reported", region.written(), Pages{2});
}

RULE(allocation, watch_excludes_reset, "Microsoft Learn: VirtualAlloc")
{
    Region region(8);
    check_allocation_fails(region.base(), region.size(), MEM_RESET | MEM_WRITE_WATCH,
                           PAGE_READWRITE, ERROR_INVALID_PARAMETER);
}

RULE(allocation, watch_excludes_large_pages, "Microsoft Learn: VirtualAlloc")
{
    check_allocation_fails(nullptr, 0x200000, committed | MEM_LARGE_PAGES, PAGE_READWRITE,
                           ERROR_INVALID_PARAMETER);
}

RULE(allocation, watch_excludes_physical, "Microsoft Learn: VirtualAlloc")
{
    check_allocation_fails(nullptr, page_size, reserved | MEM_PHYSICAL, PAGE_READWRITE,
                           ERROR_INVALID_PARAMETER);
}

RULE(allocation, unknown_types_are_refused, "Microsoft Learn: VirtualAlloc")
{
    for (const DWORD type : {DWORD{0x100}, DWORD{0x800}})
        check_allocation_fails(nullptr, page_size, committed | type, PAGE_READWRITE,
                               ERROR_INVALID_PARAMETER);
}

RULE(allocation, size_zero_is_refused, "Microsoft Learn: VirtualAlloc")
{
    check_allocation_fails(nullptr, 0, committed, PAGE_READWRITE, ERROR_INVALID_PARAMETER);
}

RULE(allocation, unknown_protection_is_refused, "Microsoft Learn: Memory Protection Constants")
{
    for (const DWORD protect : {DWORD{0}, DWORD{0x1234}, DWORD{PAGE_READONLY | PAGE_READWRITE}})
        check_allocation_fails(nullptr, page_size, committed, protect, ERROR_INVALID_PARAMETER);
}

RULE(allocation, reservation_then_commit, "Microsoft Learn: VirtualAlloc")
{
    Region region(16, reserved, PAGE_NOACCESS);
    region.commit(0, 16);
    region.write(Pages{0, 15});
    check_equal("pages reported", region.written(), Pages{0, 15});
}

RULE(allocation, top_down_is_watched_too, "Microsoft Learn: VirtualAlloc")
{
    Region region(16, committed | MEM_TOP_DOWN);
    region.write(Pages{0, 15});
    check_equal("pages returned", region.take(), Pages{0, 15});
}

RULE(allocation, starts_at_the_allocation_granularity, "Microsoft Learn: GetSystemInfo")
{
    Region one(1);
    Region other(1);
    check_equal("low bits of the first", reinterpret_cast<std::uintptr_t>(one.base()) & 0xffff,
                std::uintptr_t{0});
    check_equal("low bits of the second", reinterpret_cast<std::uintptr_t>(other.base()) & 0xffff,
                std::uintptr_t{0});
}

RULE(allocation, begins_at_the_granularity_below_its_address, "Microsoft Learn: VirtualAlloc")
{
    constexpr std::size_t pages = 16; // 64 KiB, the allocation granularity
    std::byte* at = nullptr;
    {
        Region place(2 * pages, MEM_RESERVE, PAGE_NOACCESS);
        at = place.base();
    }
    auto* const base = static_cast<std::byte*>(
        VirtualAlloc(at + page_size + 0x800, page_size, committed, PAGE_READWRITE));
    check_equal("distance of the base", base - at, std::ptrdiff_t{0});
    MEMORY_BASIC_INFORMATION info{};
    require("VirtualQuery", VirtualQuery(base, &info, sizeof(info)) == sizeof(info));
    // Up to the end of the last page that was asked for.
    check_equal("bytes", info.RegionSize, SIZE_T{3 * page_size});
    check("it can be released", VirtualFree(base, 0, MEM_RELEASE) != FALSE);
}

RULE(allocation, over_existing_memory_is_refused, "Microsoft Learn: VirtualAlloc")
{
    Region region(16);
    region.write(3);
    check_allocation_fails(region.base(), region.size(), committed, PAGE_READWRITE,
                           ERROR_INVALID_ADDRESS);
    check_equal("pages reported", region.written(), Pages{3});
}

RULE(allocation, impossible_sizes_are_refused, "Microsoft Learn: VirtualAlloc")
{
    // Windows answers one or the other, by how far beyond the address space the size is.
    for (const SIZE_T size : {SIZE_T{1} << 62, ~SIZE_T{0}, SIZE_T{1} << 47}) {
        SetLastError(ERROR_SUCCESS);
        void* const got = VirtualAlloc(nullptr, size, reserved, PAGE_READWRITE);
        const DWORD error = GetLastError();
        check("a reservation of " + show(size) + " bytes fails", got == nullptr);
        check("it fails with not enough memory or invalid parameter, got " + show(Error{error}),
              error == ERROR_NOT_ENOUGH_MEMORY || error == ERROR_INVALID_PARAMETER);
        if (got)
            VirtualFree(got, 0, MEM_RELEASE);
    }
}
