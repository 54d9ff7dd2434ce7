// SPDX-License-Identifier: LGPL-2.1-or-later
// Byte ranges are rounded outward to pages, and must lie in one watched allocation.
#include "ask.h"
#include "memory.h"

#include <optional>

using namespace conformance;

namespace {

/// GetWriteWatch of a byte range; the pages that it reports.
Pages written_in_bytes(const Region& region, void* from, SIZE_T size)
{
    const Answer answer = ask({.base = from, .size = size});
    require("GetWriteWatch succeeds, got " + show(answer.error), answer.result == 0);
    Pages pages;
    for (std::size_t i = 0; i < answer.count; ++i)
        pages.push_back(page_of(region, answer.addresses[i]));
    return pages;
}

} // namespace

RULE(ranges, part_of_a_region_reports_its_pages_only, "Microsoft Learn: GetWriteWatch")
{
    Region region(8);
    region.write(Pages{0, 2, 3, 4, 7});
    check_equal("pages 2 to 4", region.written(0, 2, 3, 8), Pages{2, 3, 4});
    check_equal("page 1", region.written(0, 1, 1, 8), Pages{});
    check_equal("the last page", region.written(0, 7, 1, 8), Pages{7});
}

RULE(ranges, base_is_rounded_down, "observed: Wine's tests")
{
    Region region(8);
    region.write(Pages{1, 2, 3});
    check_equal("from the last byte of page 1, one byte",
                written_in_bytes(region, region.page(1, page_size - 1), 1), Pages{1});
    check_equal("from the middle of page 1, one page",
                written_in_bytes(region, region.page(1, page_size / 2), page_size), Pages{1, 2});
}

RULE(ranges, end_is_rounded_up, "observed: Wine's tests")
{
    Region region(8);
    region.write(Pages{1, 2, 3});
    check_equal("from page 1, a page and a byte",
                written_in_bytes(region, region.page(1), page_size + 1), Pages{1, 2});
    check_equal("from the last byte of page 1, two bytes",
                written_in_bytes(region, region.page(1, page_size - 1), 2), Pages{1, 2});
}

RULE(ranges, size_of_one_byte, "observed: Wine's tests")
{
    Region region(8);
    region.write(Pages{1, 2});
    check_equal("one byte of page 2", written_in_bytes(region, region.page(2), 1), Pages{2});
}

RULE(ranges, last_byte_of_the_allocation, "observed: Wine's tests")
{
    Region region(8);
    region.write(7);
    check_equal("the last byte", written_in_bytes(region, region.end() - 1, 1), Pages{7});
}

RULE(ranges, one_byte_past_the_end_is_invalid, "observed: Wine's tests")
{
    Region region(8);
    check_fails({.base = region.base(), .size = region.size() + 1}, ERROR_INVALID_PARAMETER);
    check_fails({.base = region.page(7), .size = page_size + 1}, ERROR_INVALID_PARAMETER);
    check_fails({.base = region.end() - 1, .size = 2}, ERROR_INVALID_PARAMETER);
}

RULE(ranges, rounding_can_lead_past_the_end, "observed: Wine's tests")
{
    Region region(8);
    check_fails({.base = region.base() + 1, .size = region.size()}, ERROR_INVALID_PARAMETER);
    check_reset_fails(region.base() + 1, region.size(), ERROR_INVALID_PARAMETER);
}

RULE(ranges, start_below_the_allocation_is_invalid, "observed: Wine's tests")
{
    Region region(8);
    check_fails({.base = region.base() - 1, .size = 2}, ERROR_INVALID_PARAMETER);
    check_reset_fails(region.base() - 1, 2, ERROR_INVALID_PARAMETER);
}

RULE(ranges, end_of_the_allocation_is_outside_it, "observed: Wine's tests")
{
    Region region(8);
    check_fails({.base = region.end(), .size = page_size}, ERROR_INVALID_PARAMETER);
    check_reset_fails(region.end(), page_size, ERROR_INVALID_PARAMETER);
}

RULE(ranges, wrapping_range_is_invalid, "observed: Wine's tests")
{
    Region region(8);
    region.write(1);
    check_fails({.base = region.page(1), .size = ~SIZE_T{0}}, ERROR_INVALID_PARAMETER);
    check_fails({.base = region.page(1, 1), .size = ~SIZE_T{0}}, ERROR_INVALID_PARAMETER);
    check_fails({.base = region.page(1), .size = SIZE_T{0} - page_size}, ERROR_INVALID_PARAMETER);
    // This end is the region's own start.
    check_fails({.base = region.page(1), .size = SIZE_T{0} - page_size + 1},
                ERROR_INVALID_PARAMETER);
    check_reset_fails(region.page(1), ~SIZE_T{0}, ERROR_INVALID_PARAMETER);
    check_reset_fails(region.page(1), SIZE_T{0} - page_size, ERROR_INVALID_PARAMETER);
    check_equal("pages still reported", region.written(), Pages{1});
}

RULE(ranges, allocation_size_is_rounded_up, "Microsoft Learn: VirtualAlloc")
{
    // 5,000 bytes are two pages, and the whole second page is watched.
    void* const base = VirtualAlloc(nullptr, 5000, committed, PAGE_READWRITE);
    require("VirtualAlloc of 5,000 bytes succeeds", base != nullptr);
    store(static_cast<std::byte*>(base) + 2 * page_size - 1);
    const Answer two_pages = ask({.base = base, .size = 2 * page_size});
    const Answer bytes = ask({.base = base, .size = 5000});
    const Answer more = ask({.base = base, .size = 2 * page_size + 1});
    VirtualFree(base, 0, MEM_RELEASE);
    check_equal("result for two pages", two_pages.result, UINT{0});
    check_equal("count for two pages", two_pages.count, ULONG_PTR{1});
    check_equal("count for 5,000 bytes", bytes.count, ULONG_PTR{1});
    check_equal("result for two pages and a byte", more.result, get_failed);
}

RULE(ranges, reset_rounds_outward_too, "observed: Wine's tests")
{
    Region region(8);
    region.write_all();
    require("ResetWriteWatch succeeds", ResetWriteWatch(region.page(2, page_size - 1), 2) == 0);
    check_equal("pages reported", region.written(), Pages{0, 1, 4, 5, 6, 7});
}

RULE(ranges, two_allocations_are_not_one, "Microsoft Learn: GetWriteWatch")
{
    // Side by side, both watched: a range over both is in neither.
    constexpr std::size_t pages = 16; // 64 KiB, the allocation granularity
    std::optional<Region> place(std::in_place, 2 * pages, DWORD{MEM_RESERVE}, DWORD{PAGE_NOACCESS});
    std::byte* const at = place->base();
    place->release();
    place.reset();

    Region low(pages, committed, PAGE_READWRITE, at);
    Region high(pages, committed, PAGE_READWRITE, at + low.size());
    low.write(pages - 1);
    high.write(0);
    check_fails({.base = low.page(pages - 1), .size = 2 * page_size}, ERROR_INVALID_PARAMETER);
    check_reset_fails(low.page(pages - 1), 2 * page_size, ERROR_INVALID_PARAMETER);
    check_fails({.base = low.base(), .size = 2 * low.size()}, ERROR_INVALID_PARAMETER);
    check_equal("pages of the lower", low.written(), Pages{pages - 1});
    check_equal("pages of the upper", high.written(), Pages{0});
}
