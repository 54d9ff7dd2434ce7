// SPDX-License-Identifier: LGPL-2.1-or-later
// VirtualProtect and write watches, the latch included: pages that are dirty when a VirtualProtect
// covers them stay reported through a decommit, until a reset.
#include "ask.h"
#include "memory.h"

using namespace conformance;

namespace {

constexpr char latch[] =
    "observed: Wine's tests, a page dirty at a VirtualProtect outlives a decommit";

} // namespace

RULE(protection, change_does_not_dirty, "observed: Wine's tests")
{
    Region region(8);
    region.read(3);
    for (const DWORD protect : {DWORD{PAGE_READONLY}, DWORD{PAGE_NOACCESS},
                                DWORD{PAGE_EXECUTE_READ}, DWORD{PAGE_READWRITE}}) {
        region.protect(0, 8, protect);
        check_equal("pages reported", region.written(), Pages{});
    }
}

RULE(protection, change_does_not_clean, "observed: Wine's tests")
{
    Region region(8);
    region.write(Pages{1, 5});
    region.protect(0, 8, PAGE_READONLY);
    region.protect(0, 8, PAGE_READWRITE);
    check_equal("pages reported", region.written(), Pages{1, 5});
}

RULE(protection, dirty_page_without_access_is_reported, "observed: Wine's tests")
{
    Region region(8);
    region.write(Pages{1, 5});
    region.protect(0, 8, PAGE_NOACCESS);
    check_equal("pages reported", region.written(), Pages{1, 5});
}

RULE(protection, dirty_page_without_access_can_be_reset, "observed: Wine's tests")
{
    Region region(8);
    region.write(Pages{1, 5});
    region.protect(0, 8, PAGE_NOACCESS);
    check_equal("pages returned", region.take(), Pages{1, 5});
    check_equal("pages reported afterwards", region.written(), Pages{});
    region.protect(0, 8, PAGE_READWRITE);
    check_equal("pages reported when writable again", region.written(), Pages{});
}

RULE(protection, dirty_read_only_page_can_be_reset, "observed: Wine's tests")
{
    Region region(8);
    region.write(Pages{1, 5});
    region.protect(0, 8, PAGE_READONLY);
    region.reset();
    check_equal("pages reported", region.written(), Pages{});
}

RULE(protection, reset_leaves_read_only_pages_read_only, "observed: Wine's tests")
{
    Region region(8);
    region.write(1);
    region.protect(1, 1, PAGE_READONLY);
    region.reset();
    MEMORY_BASIC_INFORMATION info{};
    require("VirtualQuery succeeds",
            VirtualQuery(region.page(1), &info, sizeof info) == sizeof info);
    check_equal("protection", info.Protect, DWORD{PAGE_READONLY});
    DWORD old = 0;
    require("VirtualProtect succeeds",
            VirtualProtect(region.page(1), page_size, PAGE_READWRITE, &old) != FALSE);
    check_equal("old protection", old, DWORD{PAGE_READONLY});
}

RULE(protection, old_protection_shows_nothing_of_the_watch, "observed: Wine's tests")
{
    Region region(8);
    DWORD old = 0;
    VirtualProtect(region.base(), region.size(), PAGE_READWRITE, &old);
    check_equal("old protection of clean pages", old, DWORD{PAGE_READWRITE});
    region.write(0);
    VirtualProtect(region.base(), region.size(), PAGE_READWRITE, &old);
    check_equal("old protection of a dirty page", old, DWORD{PAGE_READWRITE});
    region.reset();
    VirtualProtect(region.base(), region.size(), PAGE_READWRITE, &old);
    check_equal("old protection of a reset page", old, DWORD{PAGE_READWRITE});
}

RULE(protection, write_after_a_change_is_reported, "Microsoft Learn: VirtualAlloc")
{
    Region region(8);
    region.protect(0, 8, PAGE_NOACCESS);
    region.protect(2, 4, PAGE_READWRITE);
    region.write(Pages{2, 4});
    check_equal("pages reported", region.written(), Pages{2, 4});
}

RULE(protection, write_after_change_and_reset_is_reported, "Microsoft Learn: VirtualAlloc")
{
    Region region(8);
    region.write(Pages{2, 4});
    region.protect(0, 8, PAGE_READONLY);
    region.reset();
    region.protect(0, 8, PAGE_READWRITE);
    region.write(4);
    check_equal("pages reported", region.written(), Pages{4});
}

RULE(protection, watched_memory_may_start_read_only, "Microsoft Learn: VirtualAlloc")
{
    Region region(8, committed, PAGE_READONLY);
    region.read(3);
    check_equal("pages reported", region.written(), Pages{});
    region.protect(0, 8, PAGE_READWRITE);
    region.write(3);
    check_equal("pages reported after a write", region.written(), Pages{3});
}

RULE(protection, watched_memory_may_be_executable, "Microsoft Learn: VirtualAlloc")
{
    Region region(8, committed, PAGE_EXECUTE_READWRITE);
    region.write(Pages{0, 7});
    check_equal("pages returned", region.take(), Pages{0, 7});
    region.write(7);
    check_equal("pages reported", region.written(), Pages{7});
}

RULE(protection, latch_example, latch)
{
    Region region(8);
    region.write(3);
    region.protect(0, 6, PAGE_READWRITE);
    region.write(5);
    check_equal("before the decommit", region.written(), Pages{3, 5});
    region.decommit_all();
    check_equal("decommitted", region.written(), Pages{3});
    region.commit(0, 8);
    check_equal("committed again", region.written(), Pages{3});
    region.write(Pages{2, 4, 6});
    check_equal("written again", region.written(), Pages{2, 3, 4, 6});
}

RULE(protection, latch_by_another_protection, latch)
{
    Region region(8);
    region.write(3);
    region.protect(0, 8, PAGE_READONLY);
    region.decommit(0, 8);
    check_equal("pages reported", region.written(), Pages{3});
}

RULE(protection, latch_covers_the_protected_range_only, latch)
{
    Region region(8);
    region.write(Pages{1, 3, 6});
    region.protect(2, 3, PAGE_READWRITE);
    region.decommit(0, 8);
    check_equal("pages reported", region.written(), Pages{3});
}

RULE(protection, latch_takes_dirty_pages_only, latch)
{
    Region region(8);
    region.read(2);
    region.protect(0, 8, PAGE_READWRITE);
    region.write(2);
    region.decommit(0, 8);
    check_equal("pages reported", region.written(), Pages{});
}

RULE(protection, latch_survives_a_decommit_of_part, latch)
{
    Region region(8);
    region.write(Pages{1, 3, 6});
    region.protect(0, 8, PAGE_READWRITE);
    region.decommit(3, 1);
    check_equal("with page 3 decommitted", region.written(), Pages{1, 3, 6});
    region.commit(3, 1);
    check_equal("with page 3 committed again", region.written(), Pages{1, 3, 6});
}

RULE(protection, latched_page_is_returned_once_by_a_reset, latch)
{
    Region region(8);
    region.write(Pages{1, 3});
    region.protect(0, 8, PAGE_READWRITE);
    check_equal("pages returned", region.take(), Pages{1, 3});
    check_equal("pages reported afterwards", region.written(), Pages{});
}

RULE(protection, latch_is_cleared_by_the_flag, latch)
{
    Region region(8);
    region.write(Pages{1, 3});
    region.protect(0, 8, PAGE_READWRITE);
    region.decommit(0, 8);
    check_equal("pages returned", region.take(), Pages{1, 3});
    check_equal("pages reported afterwards", region.written(), Pages{});
    region.commit(0, 8);
    check_equal("pages reported when committed again", region.written(), Pages{});
}

RULE(protection, latch_is_cleared_by_the_call, latch)
{
    Region region(8);
    region.write(Pages{1, 3});
    region.protect(0, 8, PAGE_READWRITE);
    region.reset();
    region.decommit(0, 8);
    check_equal("pages reported", region.written(), Pages{});
}

RULE(protection, latch_is_cleared_in_its_range_only, latch)
{
    Region region(8);
    region.write(Pages{1, 3, 6});
    region.protect(0, 8, PAGE_READWRITE);
    region.decommit(0, 8);
    region.reset(2, 2);
    check_equal("pages reported", region.written(), Pages{1, 6});
}

RULE(protection, latched_pages_obey_the_array_size, latch)
{
    Region region(8);
    region.write(Pages{1, 4});
    region.protect(0, 8, PAGE_READWRITE);
    region.decommit(0, 8);
    region.commit(0, 8);
    region.write(Pages{2, 6});
    check_equal("the first two", region.written(WRITE_WATCH_FLAG_RESET, 0, 8, 2), Pages{1, 2});
    check_equal("the others", region.written(WRITE_WATCH_FLAG_RESET, 0, 8, 2), Pages{4, 6});
    check_equal("pages reported afterwards", region.written(), Pages{});
}

RULE(protection, latched_page_is_not_clean_after_writing_again, latch)
{
    Region region(8);
    region.write(3);
    region.protect(0, 8, PAGE_READWRITE);
    region.write(3);
    check_equal("pages reported", region.written(), Pages{3});
    region.decommit(3, 1);
    region.commit(3, 1);
    region.write(3);
    check_equal("pages returned", region.take(), Pages{3});
    check_equal("pages reported afterwards", region.written(), Pages{});
}

RULE(protection, latch_ends_with_the_allocation, latch)
{
    Region region(16);
    region.write(3);
    region.protect(0, 16, PAGE_READWRITE);
    std::byte* const at = region.base();
    region.release();
    Region again(16, committed, PAGE_READWRITE, at);
    check_equal("pages reported", again.written(), Pages{});
}

RULE(protection, failed_change_latches_nothing, "contract 2, and Microsoft Learn: VirtualProtect")
{
    // A change over the end of its allocation fails; the neighbour's pages have nothing to do with
    // it.
    constexpr std::size_t pages = 16; // 64 KiB, the allocation granularity
    void* at = nullptr;
    {
        Region place(2 * pages, MEM_RESERVE, PAGE_NOACCESS);
        at = place.base();
    }
    Region low(pages, committed, PAGE_READWRITE, at);
    Region high(pages, committed, PAGE_READWRITE, low.end());
    high.write(0);
    DWORD old = 0;
    check("a change of both allocations fails",
          VirtualProtect(low.base(), low.size() + page_size, PAGE_READWRITE, &old) == FALSE);
    high.decommit(0, pages);
    check_equal("pages of the upper", high.written(), Pages{});
}

RULE(protection, change_of_pages_that_are_only_reserved_fails, "Microsoft Learn: VirtualProtect")
{
    Region region(16, MEM_RESERVE | MEM_WRITE_WATCH);
    region.commit(0, 4);
    region.write(1);
    DWORD old = 0;
    check("a change of committed and reserved pages fails",
          VirtualProtect(region.base(), 8 * page_size, PAGE_READONLY, &old) == FALSE);
    check_equal("error", GetLastError(), DWORD{ERROR_INVALID_ADDRESS});
    region.write(2); // nothing has changed
    check_equal("pages reported", region.written(), Pages{1, 2});
}
