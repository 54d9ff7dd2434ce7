// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The C API: a watch set over whatever memory its caller has.
#include "shim/backend/probe.h"
#include "shim/backend/select.h"
#include "shim/core/watch_set.h"
#include "shim/registry/publisher.h"
#include "shim/sys/env.h"
#include "shim/sys/fork.h"
#include "shim/sys/log.h"
#include "shim/sys/mapping.h"
#include "shim/sys/release.h"
#include "shim/sys/signals.h"

#include <writewatch/writewatch.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <sys/mman.h>

#define WRITEWATCH_EXPORT extern "C" __attribute__((visibility("default")))

using writewatch::page_ceil;
using writewatch::page_floor;
using writewatch::page_size;
using writewatch::PageRange;
namespace backend = writewatch::backend;
namespace core = writewatch::core;
namespace sys = writewatch::sys;
// "log" alone is the function of <math.h>.
namespace wwlog = writewatch::log;

namespace {

// What this library watches in this process, all trackers together; never destroyed, as in
// host/process.h. Null: it is not to be published.
writewatch::registry::Publisher* publisher()
{
    // A thread suspended while it starts would keep all others waiting.
    const sys::SignalBlock block;
    static writewatch::registry::Publisher* const made = [] {
        using writewatch::registry::Host;
        auto* const candidate = new writewatch::registry::Publisher(Host::c_api);
        if (candidate->open_if_enabled() != nullptr)
            return candidate;
        delete candidate;
        return static_cast<writewatch::registry::Publisher*>(nullptr);
    }();
    return made;
}

} // namespace

struct ww_tracker {
    explicit ww_tracker(backend::Selection selection)
        : backend(std::move(selection.backend)), reason(std::move(selection.reason)),
          watches(*backend, publisher())
    {
        if (publisher() != nullptr)
            publisher()->set_backend(backend->name(), reason);
    }

    std::unique_ptr<backend::Backend> backend;
    std::string reason;
    core::WatchSet watches;
};

namespace {

// The pages of an argument pair; empty when it is not one.
PageRange to_range(const void* start, std::size_t bytes) noexcept
{
    const auto address = reinterpret_cast<std::uintptr_t>(start);
    if (address != page_floor(address) || address >= writewatch::address_space_end ||
        bytes > writewatch::address_space_end - address)
        return {};
    return {address, page_ceil(address + bytes)};
}

int to_answer(const writewatch::Result<void>& result) noexcept
{
    return result ? 0 : -result.error().code;
}

// Whether huge pages are populated in the range: the kernel may split one later and map its
// zero-filled parts to the zero page, which would read as clean (docs/kernel-interface.md).
bool has_huge_pages(PageRange range) noexcept
{
    const auto pagemap = sys::Pagemap::open();
    if (!pagemap)
        return false;
    backend::Run run{};
    writewatch::abi::PmScanArg argument = backend::huge_pages_query(range, {&run, 1});
    return pagemap->scan(argument) > 0;
}

// How often a range is looked at before its pages count as differently protected: some 20 ms in
// all.
constexpr unsigned late_handler_attempts = 400;

// How memory of unknown origin must be tracked.
writewatch::Result<backend::TrackRequest> choose_tracking(PageRange range, bool fresh,
                                                          bool by_kernel) noexcept
{
    backend::TrackRequest request{range, backend::Mode::on_presence, backend::Contents::clean, 0};
    if (fresh && by_kernel) {
        request.contents = backend::Contents::empty;
        return request;
    }
    auto mapping = sys::inspect_mapping(range);
    // A handler of the mprotect backend that is late may give a page another protection than its
    // neighbours for a moment, after an earlier watch of the range has ended.
    for (unsigned attempt = 0;
         !by_kernel && mapping && !mapping->same_protection && attempt < late_handler_attempts;
         ++attempt) {
        sys::back_off(attempt);
        mapping = sys::inspect_mapping(range);
    }
    if (!mapping)
        return tl::unexpected(mapping.error());
    request.protection = mapping->protection;
    if (!by_kernel) {
        if (!mapping->same_protection)
            return writewatch::fail(EINVAL, "pages of different protection", range);
        return request;
    }
    const bool huge = has_huge_pages(range);
    if (mapping->private_anonymous && !huge)
        return request;
    request.mode = backend::Mode::armed;
    if (!huge)
        return request;

    const auto size = sys::mapping_page_size(range);
    if (!size)
        return tl::unexpected(size.error());
    if (*size == page_size)
        return request; // transparent huge pages: each is split when it is first written or cut
    // A scan goes by windows that a larger page does not fit into.
    if (*size > 2 * 1024 * 1024)
        return writewatch::fail(EINVAL, "hugetlb: pages of more than 2 MiB", range);
    if (range.start % *size != 0 || range.end % *size != 0)
        return writewatch::fail(EINVAL, "hugetlb: not whole huge pages", range);
    request.mode = backend::Mode::armed_huge;
    return request;
}

// A scan cannot be cut inside a hugetlb page, so such a region is asked about as a whole.
bool cuts_huge_region(ww_tracker& tracker, PageRange range) noexcept
{
    const auto region = tracker.watches.find(range.start);
    return region && region->mode == backend::Mode::armed_huge && region->range != range;
}

template<typename Entry>
long collect(ww_tracker* tracker, const void* start, std::size_t bytes, unsigned flags,
             Entry* entries, std::size_t capacity) noexcept
{
    const PageRange range = to_range(start, bytes);
    if (tracker == nullptr || range.empty() || (flags & ~WW_RESET) != 0 || entries == nullptr ||
        capacity == 0 || cuts_huge_region(*tracker, range))
        return -EINVAL;
    const auto found =
        tracker->watches.get(range, (flags & WW_RESET) != 0, std::span(entries, capacity));
    return found ? static_cast<long>(*found) : -static_cast<long>(found.error().code);
}

void copy_text(std::span<char> to, std::string_view text) noexcept
{
    const std::size_t length = std::min(text.size(), to.size() - 1);
    std::memcpy(to.data(), text.data(), length);
    to[length] = '\0';
}

// Not inlined: it has an exception table, and what calls it must not (sys::uninterrupted).
[[gnu::noinline]] int open_tracker(const ww_options* options, ww_tracker** tracker) noexcept
{
    const char* const name = options != nullptr ? options->backend : nullptr;
    try {
        const backend::PagemapScanOptions scan_options{.check_registration = true,
                                                       .drops_are_told = false};
        backend::Selection selection = name != nullptr
                                           ? backend::select(name, scan_options)
                                           : backend::select_by_environment(scan_options);
        if (!selection.backend) {
            wwlog::error("select", "no backend: {}", selection.reason);
            return -selection.error;
        }
        wwlog::info("select", "{} (C API, kernel {}{}{})", selection.backend->name(),
                    sys::kernel_release(), selection.reason.empty() ? "" : "; ", selection.reason);
        auto opened = std::make_unique<ww_tracker>(std::move(selection));
        if (const auto ok = opened->watches.open(); !ok)
            return to_answer(ok);
        *tracker = opened.release();
        return 0;
    } catch (const std::bad_alloc&) {
        return -ENOMEM;
    }
}

[[gnu::noinline]] int watch(ww_tracker* tracker, PageRange range, bool fresh) noexcept
{
    const bool by_kernel = !tracker->backend->survives_fork();
    const auto request = choose_tracking(range, fresh, by_kernel);
    if (!request)
        return -request.error().code;
    // With WW_FRESH nobody has looked at its protection; such memory is made to be written.
    const int protection = request->protection != 0 ? request->protection : PROT_READ | PROT_WRITE;
    const auto watched = tracker->watches.watch(*request, core::OnOverlap::fail,
                                                static_cast<std::uint32_t>(protection));
    if (!watched)
        wwlog::debug("watch", "{}", describe(watched.error()));
    return to_answer(watched);
}

[[gnu::noinline]] int rearm(ww_tracker* tracker, PageRange range) noexcept
{
    const auto mapping = sys::inspect_mapping(range);
    auto answer = mapping ? tracker->watches.memory_replaced(range, mapping->protection)
                          : writewatch::Result<void>(tl::unexpected(mapping.error()));
    // Memory that may not be tracked any more: reported until a reset, whether written or not.
    if (!answer) {
        (void)tracker->watches.for_each_watched(
            range, [&](PageRange part, const core::Region&) -> writewatch::Result<void> {
                tracker->watches.give_back(part);
                return {};
            });
    }
    return to_answer(answer);
}

[[gnu::noinline]] long probe(ww_capability* capabilities, size_t capacity) noexcept
{
    try {
        const backend::ProbeReport report = backend::probe_pagemap_scan();
        for (std::size_t i = 0; i < std::min(capacity, report.capabilities.size()); ++i) {
            const backend::Capability& from = report.capabilities[i];
            ww_capability& to = capabilities[i];
            to.supported = from.supported ? 1 : 0;
            to.error = from.error;
            copy_text(to.name, from.name);
            copy_text(to.how, from.how);
            copy_text(to.reason, from.reason);
        }
        return static_cast<long>(report.capabilities.size());
    } catch (const std::bad_alloc&) {
        return -ENOMEM;
    }
}

} // namespace

WRITEWATCH_EXPORT unsigned ww_version(void)
{
    return WW_VERSION_MAJOR << 16 | WW_VERSION_MINOR << 8 | WW_VERSION_PATCH;
}

WRITEWATCH_EXPORT const char* ww_version_string(void)
{
    return WRITEWATCH_VERSION;
}

WRITEWATCH_EXPORT int ww_open(const ww_options* options, ww_tracker** tracker)
{
    if (tracker == nullptr || (options != nullptr && options->size != sizeof(*options)))
        return -EINVAL;
    return sys::uninterrupted([&] { return open_tracker(options, tracker); });
}

WRITEWATCH_EXPORT void ww_close(ww_tracker* tracker)
{
    if (tracker == nullptr)
        return;
    sys::uninterrupted([&] {
        (void)tracker->watches.unwatch({0, writewatch::address_space_end});
        tracker->watches.close();
        delete tracker;
        return 0;
    });
}

WRITEWATCH_EXPORT const char* ww_backend(const ww_tracker* tracker)
{
    return tracker == nullptr ? "" : tracker->backend->name().data();
}

WRITEWATCH_EXPORT const char* ww_backend_reason(const ww_tracker* tracker)
{
    return tracker == nullptr ? "" : tracker->reason.c_str();
}

WRITEWATCH_EXPORT int ww_watch(ww_tracker* tracker, void* start, size_t bytes, unsigned flags)
{
    const PageRange range = to_range(start, bytes);
    if (tracker == nullptr || range.empty() || (flags & ~WW_FRESH) != 0)
        return -EINVAL;
    return sys::uninterrupted([&] { return watch(tracker, range, (flags & WW_FRESH) != 0); });
}

WRITEWATCH_EXPORT int ww_unwatch(ww_tracker* tracker, void* start, size_t bytes)
{
    const PageRange range = to_range(start, bytes);
    if (tracker == nullptr || range.empty())
        return -EINVAL;
    return sys::uninterrupted([&] { return to_answer(tracker->watches.unwatch(range)); });
}

WRITEWATCH_EXPORT int ww_rearm(ww_tracker* tracker, void* start, size_t bytes)
{
    const PageRange range = to_range(start, bytes);
    if (tracker == nullptr || range.empty())
        return -EINVAL;
    return sys::uninterrupted([&] { return rearm(tracker, range); });
}

WRITEWATCH_EXPORT int ww_latch(ww_tracker* tracker, void* start, size_t bytes)
{
    const PageRange range = to_range(start, bytes);
    if (tracker == nullptr || range.empty())
        return -EINVAL;
    return to_answer(tracker->watches.latch(range));
}

WRITEWATCH_EXPORT long ww_collect(ww_tracker* tracker, const void* start, size_t bytes,
                                  unsigned flags, void** pages, size_t capacity)
{
    static_assert(sizeof(void*) == sizeof(std::uintptr_t));
    return collect(tracker, start, bytes, flags, reinterpret_cast<std::uintptr_t*>(pages),
                   capacity);
}

WRITEWATCH_EXPORT long ww_collect_ranges(ww_tracker* tracker, const void* start, size_t bytes,
                                         unsigned flags, ww_range* ranges, size_t capacity)
{
    static_assert(sizeof(ww_range) == sizeof(PageRange) &&
                  offsetof(ww_range, start) == offsetof(PageRange, start) &&
                  offsetof(ww_range, end) == offsetof(PageRange, end));
    return collect(tracker, start, bytes, flags, reinterpret_cast<PageRange*>(ranges), capacity);
}

WRITEWATCH_EXPORT int ww_reset(ww_tracker* tracker, void* start, size_t bytes)
{
    const PageRange range = to_range(start, bytes);
    if (tracker == nullptr || range.empty() || cuts_huge_region(*tracker, range))
        return -EINVAL;
    return to_answer(tracker->watches.reset(range));
}

WRITEWATCH_EXPORT long ww_capabilities(ww_capability* capabilities, size_t entry_size,
                                       size_t capacity)
{
    if (entry_size != sizeof(*capabilities) || (capabilities == nullptr && capacity != 0))
        return -EINVAL;
    return sys::uninterrupted([&] { return probe(capabilities, capacity); });
}
