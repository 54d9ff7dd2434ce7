// SPDX-License-Identifier: LGPL-2.1-or-later
// Reserved, committed and decommitted pages.
#include "ask.h"
#include "memory.h"

using namespace conformance;

RULE(commit, reserved_range_can_be_asked, "observed: bdwgc asks a reserved page; Wine's tests")
{
    Region region(8, reserved);
    check_equal("pages reported", region.written(), Pages{});
    check_equal("pages returned", region.take(), Pages{});
    region.reset();
}

RULE(commit, watch_covers_pages_committed_later, "Microsoft Learn: VirtualAlloc")
{
    Region region(8, reserved);
    region.commit(2, 3);
    check_equal("pages reported before a write", region.written(), Pages{});
    region.write(Pages{2, 4});
    check_equal("pages reported", region.written(), Pages{2, 4});
}

RULE(commit, mixed_range_reports_committed_pages_only, "observed: Wine's tests")
{
    Region region(16, reserved);
    for (std::size_t i = 1; i < 16; i += 4) {
        region.commit(i, 2);
        region.write(Pages{i, i + 1});
    }
    check_equal("pages reported", region.written(), Pages{1, 2, 5, 6, 9, 10, 13, 14});
    check_equal("pages returned", region.take(), Pages{1, 2, 5, 6, 9, 10, 13, 14});
    region.reset();
    check_equal("pages reported afterwards", region.written(), Pages{});
}

RULE(commit, of_committed_pages_keeps_written_state, "Microsoft Learn: VirtualAlloc")
{
    Region region(8);
    region.write(Pages{1, 5});
    region.commit(0, 8);
    check_equal("pages reported", region.written(), Pages{1, 5});
    region.reset();
    region.commit(0, 8);
    check_equal("pages reported after a reset", region.written(), Pages{});
    check("contents are kept", region.read(1) == std::byte{1});
}

RULE(commit, decommit_cleans, "observed: Wine's tests")
{
    Region region(8);
    region.write_all();
    region.decommit(0, 8);
    check_equal("pages reported when decommitted", region.written(), Pages{});
    region.commit(0, 8);
    check_equal("pages reported when committed again", region.written(), Pages{});
}

RULE(commit, decommit_cleans_its_range_only, "observed: Wine's tests")
{
    Region region(8);
    region.write_all();
    region.decommit(2, 3);
    check_equal("pages reported", region.written(), Pages{0, 1, 5, 6, 7});
    region.commit(2, 3);
    check_equal("pages reported when committed again", region.written(), Pages{0, 1, 5, 6, 7});
}

RULE(commit, decommit_of_size_zero_means_all, "Microsoft Learn: VirtualFree")
{
    Region region(8);
    region.write_all();
    region.decommit_all();
    check_equal("pages reported", region.written(), Pages{});
    MEMORY_BASIC_INFORMATION info{};
    require("VirtualQuery succeeds",
            VirtualQuery(region.base(), &info, sizeof info) == sizeof info);
    check_equal("state", info.State, DWORD{MEM_RESERVE});
    check_equal("size of the reserved run", info.RegionSize, SIZE_T{region.size()});
}

RULE(commit, decommit_rounds_outward, "Microsoft Learn: VirtualFree")
{
    Region region(8);
    region.write_all();
    require("decommitting two bytes over a page edge succeeds",
            VirtualFree(region.page(2, page_size - 1), 2, MEM_DECOMMIT) != FALSE);
    check_equal("pages reported", region.written(), Pages{0, 1, 4, 5, 6, 7});
}

RULE(commit, decommit_of_reserved_pages_succeeds, "Microsoft Learn: VirtualFree")
{
    Region region(8, reserved);
    region.decommit(0, 8);
    region.commit(1, 1);
    region.write(1);
    region.decommit(2, 6);
    check_equal("pages reported", region.written(), Pages{1});
}

RULE(commit, write_after_recommit_is_reported, "observed: Wine's tests")
{
    Region region(8);
    region.write_all();
    for (int round = 0; round < 3; ++round) {
        region.decommit(0, 8);
        region.commit(0, 8);
        region.write(Pages{3, 4});
        check_equal("pages reported", region.written(), Pages{3, 4});
    }
}

RULE(commit, recommitted_pages_can_be_reset, "observed: Wine's tests")
{
    Region region(8);
    region.decommit(0, 8);
    region.commit(0, 8);
    region.write(Pages{3, 4});
    check_equal("pages returned", region.take(), Pages{3, 4});
    region.write(4);
    check_equal("pages reported", region.written(), Pages{4});
}

RULE(commit, recommitted_pages_are_zero, "Microsoft Learn: VirtualAlloc")
{
    Region region(4);
    region.write(2);
    region.decommit(2, 1);
    region.commit(2, 1);
    check("the page is zero", region.read(2) == std::byte{0});
    check_equal("pages reported", region.written(), Pages{});
}

RULE(commit, watch_lasts_although_commits_do_not_name_it, "Microsoft Learn: VirtualAlloc")
{
    Region region(64, reserved);
    for (std::size_t i = 0; i < 64; i += 8)
        region.commit(i, 8);
    region.decommit_all();
    region.commit(8, 8);
    region.write(9);
    check_equal("pages reported", region.written(), Pages{9});
}

RULE(commit, recommit_with_another_protection, "Microsoft Learn: VirtualAlloc")
{
    Region region(4);
    region.write(1);
    region.decommit(1, 1);
    region.commit(1, 1, PAGE_READONLY);
    region.read(1);
    check_equal("pages reported", region.written(), Pages{});
    region.protect(1, 1, PAGE_READWRITE);
    region.write(1);
    check_equal("pages reported after a write", region.written(), Pages{1});
}
