// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/model/model.h"

#include <algorithm>

namespace model {

namespace {

bool writable(const Page& page)
{
    return page.committed &&
           (page.protect == PAGE_READWRITE || page.protect == PAGE_EXECUTE_READWRITE);
}

bool readable(const Page& page)
{
    return page.committed && page.protect != PAGE_NOACCESS;
}

bool starts_inside(const Region& region, const Call& call)
{
    return region.live && !call.null_address && call.offset >= 0 &&
           call.offset < static_cast<std::int64_t>(region.size());
}

template<typename Predicate> bool all_pages(const Span& span, const Predicate& predicate)
{
    return std::all_of(span.region->pages.begin() + static_cast<std::ptrdiff_t>(span.first),
                       span.region->pages.begin() + static_cast<std::ptrdiff_t>(span.end),
                       predicate);
}

/// Latched or written: what a question sees.
Written visible(const Page& page)
{
    return std::max(page.latched, page.committed ? page.written : Written::no);
}

} // namespace

std::uintptr_t Model::address(const Call& call) const
{
    if (call.null_address)
        return 0;
    return regions_[call.slot].base + static_cast<std::uintptr_t>(call.offset);
}

std::optional<Span> Model::span(const Call& call)
{
    Region& region = regions_[call.slot];
    if (!region.live || call.null_address || call.offset < 0)
        return std::nullopt;
    const auto start = static_cast<std::uint64_t>(call.offset);
    if (start >= region.size() || call.size > region.size() - start)
        return std::nullopt;
    const std::size_t first = start / page_size;
    const std::size_t end = (start + call.size + page_size - 1) / page_size;
    return Span{&region, first, end};
}

bool Model::allows(const Call& call)
{
    Region& region = regions_[call.slot];
    const std::optional<Span> pages = span(call);
    switch (call.kind) {
    case Kind::alloc:
        return !region.live;
    case Kind::release:
        return region.live;
    case Kind::commit:
        // A commit that changes the protection of committed pages: its effect on watches is not
        // documented.
        return starts_inside(region, call) && call.size != 0 &&
               (!pages || all_pages(*pages, [&](const Page& page) {
                   return !page.committed || page.protect == call.value;
               }));
    case Kind::decommit:
        return starts_inside(region, call) && (call.size != 0 || call.offset == 0);
    case Kind::protect:
        // Mixed committed and not: whether the committed part changes is not documented.
        return starts_inside(region, call) && call.size != 0 &&
               (!pages || all_pages(*pages, [](const Page& page) { return page.committed; }) ||
                all_pages(*pages, [](const Page& page) { return !page.committed; }));
    case Kind::drop:
        return pages && call.size != 0 && call.offset % std::int64_t{page_size} == 0 &&
               call.size % page_size == 0 && all_pages(*pages, writable);
    case Kind::write:
    case Kind::write_every:
        return pages && call.size != 0 && all_pages(*pages, writable);
    case Kind::read:
        return pages && call.size != 0 && all_pages(*pages, readable);
    case Kind::query:
        return starts_inside(region, call);
    case Kind::get:
    case Kind::reset:
        // Any address: but a region must have been there, so that it means something.
        return call.null_address || region.base != 0;
    }
    return false;
}

void Model::allocated(const Call& call, std::uintptr_t base)
{
    Region& region = regions_[call.slot];
    region = {};
    region.live = true;
    region.watched = (call.value & MEM_WRITE_WATCH) != 0;
    region.protect = static_cast<std::uint32_t>(call.number);
    region.base = base;
    region.pages.resize((call.size + page_size - 1) / page_size);
    region.bytes.resize(region.size());
    if ((call.value & MEM_COMMIT) != 0)
        for (Page& page : region.pages) {
            page.committed = true;
            page.protect = region.protect;
        }
}

bool Model::commits(const Call& call)
{
    const std::optional<Span> pages = span(call);
    if (!pages)
        return false;
    for (std::size_t i = pages->first; i < pages->end; ++i) {
        Page& page = pages->region->pages[i];
        if (page.committed)
            continue;
        page.committed = true;
        page.protect = call.value;
        page.written = Written::no;
        page.known = true;
        std::fill_n(pages->region->bytes.begin() + static_cast<std::ptrdiff_t>(i * page_size),
                    page_size, std::uint8_t{0});
    }
    return true;
}

bool Model::decommits(const Call& call)
{
    std::optional<Span> pages = span(call);
    if (!pages)
        return false;
    if (call.size == 0)
        pages->end = pages->region->pages.size();
    for (std::size_t i = pages->first; i < pages->end; ++i) {
        pages->region->pages[i].committed = false;
        pages->region->pages[i].written = Written::no;
    }
    return true;
}

bool Model::protects(const Call& call)
{
    const std::optional<Span> pages = span(call);
    if (!pages || !pages->region->pages[pages->first].committed)
        return false;
    for (std::size_t i = pages->first; i < pages->end; ++i) {
        Page& page = pages->region->pages[i];
        page.protect = call.value;
        page.latched = std::max(page.latched, page.written);
    }
    return true;
}

void Model::dropped(const Call& call)
{
    const Span pages = *span(call);
    for (std::size_t i = pages.first; i < pages.end; ++i) {
        Page& page = pages.region->pages[i];
        page.known = false;
        if (page.written == Written::yes)
            page.written = Written::maybe;
    }
}

void Model::wrote(const Call& call)
{
    const Span pages = *span(call);
    const std::uint64_t step = call.kind == Kind::write ? 1 : call.number;
    const auto start = static_cast<std::uint64_t>(call.offset);
    for (std::uint64_t at = start; at < start + call.size; at += step) {
        pages.region->bytes[at] = static_cast<std::uint8_t>(call.value);
        pages.region->pages[at / page_size].written = Written::yes;
    }
}

std::optional<Span> Model::watched_span(std::uintptr_t start, std::uint64_t size)
{
    const std::uintptr_t first = start & ~(page_size - 1);
    const std::uintptr_t end = start + size;
    if (end < start || end > end + page_size - 1)
        return std::nullopt;
    const std::uintptr_t last = (end + page_size - 1) & ~(page_size - 1);
    for (Region& region : regions_) {
        if (region.live && region.watched && first >= region.base &&
            first < region.base + region.size() && last <= region.base + region.size())
            return Span{&region, (first - region.base) / page_size,
                        (last - region.base) / page_size};
    }
    return std::nullopt;
}

Answer Model::get(const Call& call)
{
    if (call.null_count || call.null_granularity)
        return {ERROR_NOACCESS, {}};
    if (call.number == 0 || call.size == 0)
        return {ERROR_INVALID_PARAMETER, {}};
    if ((call.value & ~std::uint32_t{WRITE_WATCH_FLAG_RESET}) != 0)
        return {ERROR_INVALID_PARAMETER, {}};
    if (call.null_array)
        return {ERROR_NOACCESS, {}};
    const std::optional<Span> pages = watched_span(address(call), call.size);
    return pages ? Answer{ERROR_SUCCESS, *pages} : Answer{ERROR_INVALID_PARAMETER, {}};
}

Answer Model::reset(const Call& call)
{
    const std::optional<Span> pages =
        call.size == 0 ? std::nullopt : watched_span(address(call), call.size);
    if (!pages)
        return {ERROR_INVALID_PARAMETER, {}};
    for (std::size_t i = pages->first; i < pages->end; ++i) {
        pages->region->pages[i].written = Written::no;
        pages->region->pages[i].latched = Written::no;
    }
    return {ERROR_SUCCESS, *pages};
}

std::optional<std::string> Model::check_pages(const Call& call, const Span& span,
                                              const std::vector<std::size_t>& pages)
{
    std::vector<Page>& all = span.region->pages;
    std::size_t next = span.first;
    const auto missing_before = [&](std::size_t end) -> std::optional<std::string> {
        for (; next < end; ++next)
            if (visible(all[next]) == Written::yes)
                return "page " + std::to_string(next) + " is written and was not returned";
        return std::nullopt;
    };

    for (const std::size_t page : pages) {
        if (page < next)
            return "page " + std::to_string(page) + " is out of order or returned twice";
        if (page >= span.end)
            return "page " + std::to_string(page) + " is outside the range";
        if (auto missing = missing_before(page))
            return missing;
        if (visible(all[page]) == Written::no)
            return "page " + std::to_string(page) + " was returned and is not written";
        next = page + 1;
    }
    // A full array may have left pages out.
    if (pages.size() < call.number)
        if (auto missing = missing_before(span.end))
            return missing;

    if ((call.value & WRITE_WATCH_FLAG_RESET) != 0)
        for (const std::size_t page : pages) {
            all[page].written = Written::no;
            all[page].latched = Written::no;
        }
    return std::nullopt;
}

MEMORY_BASIC_INFORMATION Model::query(const Call& call)
{
    const Region& region = regions_[call.slot];
    const std::size_t first = static_cast<std::size_t>(call.offset) / page_size;
    const Page& page = region.pages[first];
    std::size_t end = first;
    while (end < region.pages.size() && region.pages[end].committed == page.committed &&
           (!page.committed || region.pages[end].protect == page.protect))
        ++end;

    MEMORY_BASIC_INFORMATION info{};
    info.BaseAddress = reinterpret_cast<void*>(region.base + first * page_size);
    info.AllocationBase = reinterpret_cast<void*>(region.base);
    info.AllocationProtect = region.protect;
    info.RegionSize = (end - first) * page_size;
    info.State = page.committed ? MEM_COMMIT : MEM_RESERVE;
    info.Protect = page.committed ? page.protect : 0;
    info.Type = MEM_PRIVATE;
    return info;
}

} // namespace model
