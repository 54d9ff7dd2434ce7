// SPDX-License-Identifier: LGPL-2.1-or-later
// What GetWriteWatch reports.
#include "ask.h"
#include "memory.h"

#include <algorithm>
#include <vector>

using namespace conformance;

RULE(query, fresh_region_is_clean, "Microsoft Learn: GetWriteWatch")
{
    Region region(16);
    check_equal("pages reported", region.written(), Pages{});
}

RULE(query, success_returns_zero, "Microsoft Learn: GetWriteWatch")
{
    Region region(4);
    region.write(1);
    const Answer answer = ask({.base = region.base(), .size = region.size()});
    check_equal("result", answer.result, UINT{0});
}

RULE(query, success_leaves_the_last_error_alone, "Microsoft Learn: GetLastError")
{
    Region region(4);
    void* addresses[4];
    ULONG_PTR count = 4;
    ULONG granularity = 0;
    SetLastError(12345);
    GetWriteWatch(0, region.base(), region.size(), addresses, &count, &granularity);
    check_equal("last error after GetWriteWatch", Error{GetLastError()}, Error{12345});
    ResetWriteWatch(region.base(), region.size());
    check_equal("last error after ResetWriteWatch", Error{GetLastError()}, Error{12345});
}

RULE(query, status_of_success_is_zero, "observed: Wine's tests")
{
    Region region(4);
    region.write(1);
    const Answer answer = ask_nt({.base = region.base(), .size = region.size()});
    check_equal("status", answer.status, status_success);
    check_equal("count", answer.count, ULONG_PTR{1});
}

RULE(query, granularity_is_the_page_size, "Microsoft Learn: GetWriteWatch")
{
    Region region(4);
    const Answer answer = ask({.base = region.base(), .size = region.size()});
    check_equal("granularity", answer.granularity, ULONG{page_size});
}

RULE(query, entry_is_the_page_of_the_write, "Microsoft Learn: GetWriteWatch")
{
    Region region(4);
    store(region.page(1, 1));
    const Answer answer = ask({.base = region.base(), .size = region.size()});
    check_equal("count", answer.count, ULONG_PTR{1});
    check_equal("entry", static_cast<const void*>(answer.addresses[0]),
                static_cast<const void*>(region.page(1)));
}

RULE(query, last_byte_of_a_page_belongs_to_it, "Microsoft Learn: GetWriteWatch")
{
    Region region(4);
    store(region.page(1, page_size - 1));
    check_equal("pages reported", region.written(), Pages{1});
}

RULE(query, entries_ascend, "observed: vkd3d-proton's tests")
{
    Region region(16);
    region.write(Pages{11, 3, 15, 0, 7});
    check_equal("pages reported", region.written(), Pages{0, 3, 7, 11, 15});
}

RULE(query, a_page_is_reported_once, "Microsoft Learn: GetWriteWatch")
{
    Region region(4);
    for (std::size_t offset = 0; offset < page_size; offset += 64)
        store(region.page(2, offset));
    check_equal("pages reported", region.written(), Pages{2});
}

RULE(query, without_reset_the_answer_stays, "Microsoft Learn: GetWriteWatch")
{
    Region region(8);
    region.write(Pages{1, 6});
    check_equal("first answer", region.written(), Pages{1, 6});
    check_equal("second answer", region.written(), Pages{1, 6});
}

RULE(query, a_read_is_not_a_write, "Microsoft Learn: GetWriteWatch")
{
    Region region(8);
    for (std::size_t i = 0; i < region.pages(); ++i)
        region.read(i);
    check_equal("pages reported after reads of untouched pages", region.written(), Pages{});
    region.write_all();
    region.reset();
    for (std::size_t i = 0; i < region.pages(); ++i)
        region.read(i);
    check_equal("pages reported after reads of reset pages", region.written(), Pages{});
}

RULE(query, a_write_after_a_read_is_reported, "Microsoft Learn: GetWriteWatch")
{
    Region region(4);
    region.read(2);
    region.write(2);
    check_equal("pages reported", region.written(), Pages{2});
}

RULE(query, storing_the_same_value_is_a_write, "Microsoft Learn: GetWriteWatch")
{
    Region region(4);
    store(region.page(1), 0);
    check_equal("pages reported after a zero into an untouched page", region.written(), Pages{1});
    store(region.page(2), 7);
    region.reset();
    store(region.page(2), 7);
    check_equal("pages reported after the same byte again", region.written(), Pages{2});
}

RULE(query, entries_beyond_the_count_are_untouched, "observed: Wine's tests")
{
    Region region(8);
    region.write(Pages{0, 5});
    const Answer answer = ask({.base = region.base(), .size = region.size()});
    check_equal("count", answer.count, ULONG_PTR{2});
    check("entries from the third on are untouched",
          std::all_of(answer.addresses.begin() + 2, answer.addresses.end(),
                      [](void* each) { return each == address_sentinel(); }));
}

RULE(query, clean_region_writes_no_entry, "observed: Wine's tests")
{
    Region region(8);
    const Answer answer = ask({.base = region.base(), .size = region.size()});
    check_equal("count", answer.count, ULONG_PTR{0});
    check("no entry is written",
          std::all_of(answer.addresses.begin(), answer.addresses.end(),
                      [](void* each) { return each == address_sentinel(); }));
}

RULE(query, small_array_receives_the_first_pages, "Microsoft Learn: GetWriteWatch")
{
    Region region(8);
    region.write(Pages{1, 3, 5, 7});
    check_equal("pages reported with two entries", region.written(0, 0, 8, 2), Pages{1, 3});
    check_equal("pages reported afterwards", region.written(), Pages{1, 3, 5, 7});
}

RULE(query, array_of_exactly_the_right_size, "Microsoft Learn: GetWriteWatch")
{
    Region region(8);
    region.write(Pages{1, 3, 5});
    check_equal("pages reported", region.written(0, 0, 8, 3), Pages{1, 3, 5});
}

RULE(query, two_thousand_alternating_pages, "observed: vkd3d-proton's tests")
{
    constexpr std::size_t pages = 2048;
    Region region(pages);
    const Pages even = every(2, pages / 2);
    region.write(even);
    check_equal("pages reported", region.written(), even);
    check_equal("pages returned by a reset", region.take(), even);
    check_equal("pages reported afterwards", region.written(), Pages{});
}

RULE(query, regions_do_not_see_each_other, "Microsoft Learn: GetWriteWatch")
{
    Region one(4);
    Region other(4);
    one.write(1);
    other.write(2);
    check_equal("pages of the first", one.written(), Pages{1});
    one.reset();
    check_equal("pages of the second", other.written(), Pages{2});
    check_equal("pages of the first after its reset", one.written(), Pages{});
}

RULE(query, contents_survive_questions_and_resets, "Microsoft Learn: GetWriteWatch")
{
    Region region(8);
    for (std::size_t i = 0; i < region.pages(); ++i)
        store(region.page(i, 100), static_cast<unsigned>(i + 1));
    region.written();
    region.take();
    region.reset();
    for (std::size_t i = 0; i < region.pages(); ++i)
        check_equal("byte of page " + std::to_string(i),
                    static_cast<unsigned>(*region.page(i, 100)), static_cast<unsigned>(i + 1));
}

RULE(query, watch_is_invisible_to_virtual_query, "observed: Wine's tests")
{
    Region region(8);
    region.write(Pages{1, 2, 6});
    region.reset(0, 4);
    MEMORY_BASIC_INFORMATION info{};
    require("VirtualQuery succeeds",
            VirtualQuery(region.base(), &info, sizeof info) == sizeof info);
    check_equal("BaseAddress", static_cast<const void*>(info.BaseAddress),
                static_cast<const void*>(region.base()));
    check_equal("AllocationBase", static_cast<const void*>(info.AllocationBase),
                static_cast<const void*>(region.base()));
    check_equal("RegionSize", info.RegionSize, SIZE_T{region.size()});
    check_equal("State", info.State, DWORD{MEM_COMMIT});
    check_equal("Protect", info.Protect, DWORD{PAGE_READWRITE});
    check_equal("AllocationProtect", info.AllocationProtect, DWORD{PAGE_READWRITE});
    check_equal("Type", info.Type, DWORD{MEM_PRIVATE});
}

RULE(query, result_array_may_be_watched_memory, "contract 1: stores by the call itself are writes")
{
    Region region(8);
    region.write(Pages{2, 5});
    auto** addresses = reinterpret_cast<void**>(region.page(7));
    ULONG_PTR count = 8;
    ULONG granularity = 0;
    const UINT result = GetWriteWatch(WRITE_WATCH_FLAG_RESET, region.base(), region.size(),
                                      addresses, &count, &granularity);
    require("GetWriteWatch succeeds", result == 0);
    // Whether the array's own page is among them is not specified: it is written by the call.
    check("pages 2 and 5 are returned",
          count >= 2 && addresses[0] == region.page(2) && addresses[1] == region.page(5));
    check("no page but the array's is added",
          count == 2 || (count == 3 && addresses[2] == region.page(7)));
    if (platform() != Platform::windows)
        check_equal("the array's page was written", region.written(), Pages{7});
}
