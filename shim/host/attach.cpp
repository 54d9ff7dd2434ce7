// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The C API about another process.
#include "shim/registry/remote.h"

#include <writewatch/writewatch.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>

#define WRITEWATCH_EXPORT extern "C" __attribute__((visibility("default")))

using writewatch::PageRange;
namespace registry = writewatch::registry;

struct ww_process {
    std::unique_ptr<registry::RemoteProcess> remote;
};

namespace {

PageRange to_range(std::uintptr_t start, std::size_t bytes) noexcept
{
    if (start != writewatch::page_floor(start) || start >= writewatch::address_space_end ||
        bytes > writewatch::address_space_end - start)
        return {};
    return {start, writewatch::page_ceil(start + bytes)};
}

} // namespace

WRITEWATCH_EXPORT int ww_attach(int pid, ww_process** process)
{
    if (pid <= 0 || process == nullptr)
        return -EINVAL;
    auto attached = registry::RemoteProcess::attach(pid);
    if (!attached)
        return -attached.error().code;
    auto* const made = new (std::nothrow) ww_process{std::move(*attached)};
    if (made == nullptr)
        return -ENOMEM;
    *process = made;
    return 0;
}

WRITEWATCH_EXPORT void ww_detach(ww_process* process)
{
    delete process;
}

WRITEWATCH_EXPORT int ww_process_alive(const ww_process* process)
{
    return process != nullptr && process->remote->alive() ? 1 : 0;
}

WRITEWATCH_EXPORT long ww_process_regions(ww_process* process, ww_region* regions,
                                          size_t entry_size, size_t capacity)
{
    if (process == nullptr || entry_size != sizeof(*regions) ||
        (regions == nullptr && capacity != 0))
        return -EINVAL;
    const auto found = process->remote->regions();
    if (!found)
        return -static_cast<long>(found.error().code);
    for (std::size_t i = 0; i < std::min(capacity, found->size()); ++i) {
        const registry::RegionInfo& from = (*found)[i];
        regions[i] = {.start = from.range.start,
                      .bytes = from.range.bytes(),
                      .id = from.id,
                      .created_ns = from.created,
                      .latched_pages = from.latched_pages,
                      .protection = from.protection};
    }
    return static_cast<long>(found->size());
}

WRITEWATCH_EXPORT long ww_process_collect(ww_process* process, uintptr_t start, size_t bytes,
                                          unsigned flags, uintptr_t* pages, size_t capacity)
{
    const PageRange range = to_range(start, bytes);
    if (process == nullptr || range.empty() || (flags & ~WW_RESET) != 0 || pages == nullptr ||
        capacity == 0)
        return -EINVAL;
    const auto found =
        process->remote->get(range, (flags & WW_RESET) != 0, std::span(pages, capacity));
    return found ? static_cast<long>(*found) : -static_cast<long>(found.error().code);
}

WRITEWATCH_EXPORT int ww_process_reset(ww_process* process, uintptr_t start, size_t bytes)
{
    const PageRange range = to_range(start, bytes);
    if (process == nullptr || range.empty())
        return -EINVAL;
    const auto done = process->remote->reset(range);
    return done ? 0 : -done.error().code;
}
