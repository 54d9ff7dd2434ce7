// SPDX-License-Identifier: LGPL-2.1-or-later
// WRITE_WATCH_FLAG_RESET and ResetWriteWatch.
#include "ask.h"
#include "memory.h"

using namespace conformance;

RULE(reset, flag_returns_then_clears, "Microsoft Learn: GetWriteWatch")
{
    Region region(8);
    region.write(Pages{1, 4});
    check_equal("pages returned", region.take(), Pages{1, 4});
    check_equal("pages reported afterwards", region.written(), Pages{});
}

RULE(reset, flag_clears_only_what_it_returned, "observed: Wine's tests")
{
    Region region(8);
    region.write(Pages{1, 4, 6});
    check_equal("pages returned with one entry", region.written(WRITE_WATCH_FLAG_RESET, 0, 8, 1),
                Pages{1});
    check_equal("pages reported afterwards", region.written(), Pages{4, 6});
}

RULE(reset, flag_clears_only_returned_neighbours, "observed: Wine's tests")
{
    // The same among adjacent pages, where an implementation that works in runs could cut wrongly.
    Region region(8);
    region.write_all();
    check_equal("pages returned with three entries",
                region.written(WRITE_WATCH_FLAG_RESET, 0, 8, 3), Pages{0, 1, 2});
    check_equal("pages reported afterwards", region.written(), Pages{3, 4, 5, 6, 7});
}

RULE(reset, flag_clears_only_its_range, "Microsoft Learn: GetWriteWatch")
{
    Region region(8);
    region.write_all();
    check_equal("pages returned", region.written(WRITE_WATCH_FLAG_RESET, 2, 3, 8), Pages{2, 3, 4});
    check_equal("pages reported afterwards", region.written(), Pages{0, 1, 5, 6, 7});
}

RULE(reset, small_arrays_return_every_page_once, "Microsoft Learn: GetWriteWatch")
{
    Region region(64);
    const Pages expected = every(3, 21);
    region.write(expected);
    Pages returned;
    for (int call = 0; call < 100; ++call) {
        const Pages part = region.written(WRITE_WATCH_FLAG_RESET, 0, 64, 4);
        if (part.empty())
            break;
        returned.insert(returned.end(), part.begin(), part.end());
    }
    check_equal("pages returned in all", returned, expected);
}

RULE(reset, write_after_the_flag_is_reported_again, "Microsoft Learn: GetWriteWatch")
{
    Region region(8);
    for (int round = 0; round < 3; ++round) {
        region.write(Pages{2, 3});
        check_equal("pages returned", region.take(), Pages{2, 3});
    }
    check_equal("pages reported at the end", region.written(), Pages{});
}

RULE(reset, call_clears_its_range, "Microsoft Learn: ResetWriteWatch")
{
    Region region(8);
    region.write_all();
    region.reset(3, 2);
    check_equal("pages reported", region.written(), Pages{0, 1, 2, 5, 6, 7});
}

RULE(reset, call_clears_one_page, "Microsoft Learn: ResetWriteWatch")
{
    Region region(8);
    region.write_all();
    region.reset(7, 1);
    region.reset(0, 1);
    check_equal("pages reported", region.written(), Pages{1, 2, 3, 4, 5, 6});
}

RULE(reset, call_on_clean_pages_succeeds, "Microsoft Learn: ResetWriteWatch")
{
    Region region(8);
    region.reset();
    region.reset();
    check_equal("pages reported", region.written(), Pages{});
}

RULE(reset, call_before_the_first_write_hides_nothing, "Microsoft Learn: ResetWriteWatch")
{
    Region region(8);
    region.reset();
    region.write(Pages{0, 5});
    check_equal("pages reported", region.written(), Pages{0, 5});
}

RULE(reset, call_returns_zero_and_its_status_is_zero, "Microsoft Learn: ResetWriteWatch")
{
    Region region(8);
    region.write(3);
    check_equal("result", ResetWriteWatch(region.base(), region.size()), UINT{0});
    region.write(3);
    check_equal("status", Status{NtResetWriteWatch(own_process(), region.base(), region.size())},
                status_success);
    check_equal("pages reported", region.written(), Pages{});
}

RULE(reset, write_after_the_call_is_reported_again, "Microsoft Learn: ResetWriteWatch")
{
    Region region(8);
    region.write(Pages{2, 3});
    region.reset();
    region.write(3);
    check_equal("pages reported", region.written(), Pages{3});
}

RULE(reset, first_half_then_second_half, "observed: collectors reset in quanta")
{
    Region region(4096);
    region.write_all();
    region.reset(0, 2048);
    check_equal("the first half", region.written(0, 0, 2048, 2048), Pages{});
    check_equal("pages of the second half", region.written(0, 2048, 2048, 2048).size(),
                std::size_t{2048});
    region.reset(2048, 2048);
    check_equal("pages reported", region.written(), Pages{});
}
