// SPDX-License-Identifier: LGPL-2.1-or-later
// "The write-tracking feature remains enabled for the memory region until the region is freed."
#include "ask.h"
#include "memory.h"

using namespace conformance;

RULE(release, ends_the_watch, "Microsoft Learn: VirtualAlloc")
{
    Region region(16);
    region.write(3);
    void* const base = region.base();
    const SIZE_T size = region.size();
    region.release();
    check_fails({.base = base, .size = size}, ERROR_INVALID_PARAMETER);
    check_reset_fails(base, size, ERROR_INVALID_PARAMETER);
}

RULE(release, second_release_fails, "Microsoft Learn: VirtualFree")
{
    Region region(16);
    void* const base = region.base();
    region.release();
    SetLastError(ERROR_SUCCESS);
    check("a second release fails", VirtualFree(base, 0, MEM_RELEASE) == FALSE);
    // Windows says invalid address, Wine 8.0 invalid parameter: not a matter of watches.
    const DWORD error = GetLastError();
    check("the address or the parameter is named, got " + show(Error{error}),
          error == ERROR_INVALID_ADDRESS || error == ERROR_INVALID_PARAMETER);
}

RULE(release, new_unwatched_allocation_is_unwatched, "Microsoft Learn: VirtualAlloc")
{
    Region region(16);
    region.write(3);
    std::byte* const at = region.base();
    region.release();
    Region again(16, unwatched, PAGE_READWRITE, at);
    again.write(5);
    check_fails({.base = again.base(), .size = again.size()}, ERROR_INVALID_PARAMETER);
    check_reset_fails(again.base(), again.size(), ERROR_INVALID_PARAMETER);
}

RULE(release, new_watched_allocation_is_clean, "Microsoft Learn: VirtualAlloc")
{
    Region region(16);
    region.write_all();
    std::byte* const at = region.base();
    region.release();
    Region again(16, committed, PAGE_READWRITE, at);
    check_equal("pages reported", again.written(), Pages{});
    again.write(5);
    check_equal("pages reported after a write", again.written(), Pages{5});
}

RULE(release, watch_can_follow_unwatched_memory, "Microsoft Learn: VirtualAlloc")
{
    Region region(16, unwatched);
    region.write_all();
    std::byte* const at = region.base();
    region.release();
    Region again(16, committed, PAGE_READWRITE, at);
    check_equal("pages reported", again.written(), Pages{});
}

RULE(release, smaller_allocation_in_its_place, "Microsoft Learn: VirtualAlloc")
{
    Region region(64);
    region.write_all();
    std::byte* const at = region.base();
    region.release();
    Region again(16, committed, PAGE_READWRITE, at + 16 * page_size);
    again.write(2);
    check_equal("pages reported", again.written(), Pages{2});
    check_fails({.base = at, .size = page_size}, ERROR_INVALID_PARAMETER);
    check_fails({.base = again.end(), .size = page_size}, ERROR_INVALID_PARAMETER);
}

RULE(release, of_one_region_leaves_the_others, "Microsoft Learn: VirtualFree")
{
    Region one(16);
    Region middle(16);
    Region other(16);
    one.write(1);
    middle.write(2);
    other.write(3);
    middle.release();
    check_equal("pages of the first", one.written(), Pages{1});
    check_equal("pages of the last", other.written(), Pages{3});
}

RULE(release, of_a_reservation, "Microsoft Learn: VirtualFree")
{
    Region region(16, reserved);
    void* const base = region.base();
    region.release();
    check_fails({.base = base, .size = page_size}, ERROR_INVALID_PARAMETER);
}

RULE(release, of_pages_without_access, "Microsoft Learn: VirtualFree")
{
    Region region(16);
    region.write_all();
    region.protect(0, 16, PAGE_NOACCESS);
    void* const base = region.base();
    region.release();
    check_fails({.base = base, .size = page_size}, ERROR_INVALID_PARAMETER);
}
