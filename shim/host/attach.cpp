// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The C API about another process.
#include "shim/registry/remote.h"
#include "shim/sys/signals.h"

#include <writewatch/writewatch.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>

#define WRITEWATCH_EXPORT extern "C" __attribute__((visibility("default")))

using writewatch::PageRange;
namespace registry = writewatch::registry;
namespace sys = writewatch::sys;

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

// The heap's locks must not be left behind, nor open files.
int attach(int pid, ww_process** process) noexcept
{
    auto attached = registry::RemoteProcess::attach(pid);
    if (!attached)
        return -attached.error().code;
    auto* const made = new (std::nothrow) ww_process{std::move(*attached)};
    if (made == nullptr)
        return -ENOMEM;
    *process = made;
    return 0;
}

long list_regions(ww_process& process, ww_region* regions, std::size_t capacity) noexcept
{
    const auto found = process.remote->regions();
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

} // namespace

WRITEWATCH_EXPORT int ww_attach(int pid, ww_process** process)
{
    if (pid <= 0 || process == nullptr)
        return -EINVAL;
    return sys::uninterrupted([&] { return attach(pid, process); });
}

WRITEWATCH_EXPORT void ww_detach(ww_process* process)
{
    sys::uninterrupted([&] {
        delete process;
        return 0;
    });
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
    return sys::uninterrupted([&] { return list_regions(*process, regions, capacity); });
}

WRITEWATCH_EXPORT long ww_process_collect(ww_process* process, uintptr_t start, size_t bytes,
                                          unsigned flags, uintptr_t* pages, size_t capacity)
{
    const PageRange range = to_range(start, bytes);
    if (process == nullptr || range.empty() || (flags & ~WW_RESET) != 0 || pages == nullptr ||
        capacity == 0)
        return -EINVAL;
    const auto found = sys::uninterrupted([&] {
        return process->remote->get(range, (flags & WW_RESET) != 0, std::span(pages, capacity));
    });
    return found ? static_cast<long>(*found) : -static_cast<long>(found.error().code);
}

WRITEWATCH_EXPORT int ww_process_reset(ww_process* process, uintptr_t start, size_t bytes)
{
    const PageRange range = to_range(start, bytes);
    if (process == nullptr || range.empty())
        return -EINVAL;
    const auto done = sys::uninterrupted([&] { return process->remote->reset(range); });
    return done ? 0 : -done.error().code;
}
