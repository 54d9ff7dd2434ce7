// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The system calls that read and reset watches. A range that is not in a region of ours goes to
// Wine's function unchanged: memory that Wine watches itself (allocated from another process), and
// every mistake. What is about another process is other_process.cpp's.
#include "shim/win32/program_memory.h"
#include "shim/win32/status.h"
#include "shim/win32/write_watch.h"
#include "wine-integration/host/hooks.h"
#include "wine-integration/host/other_process.h"
#include "wine-integration/host/state.h"

#include <optional>

namespace writewatch::wine {

namespace {

std::optional<core::Region> region_at(const void* address)
{
    return host->watches.find(reinterpret_cast<std::uintptr_t>(address));
}

} // namespace

NTSTATUS hook_get_write_watch(HANDLE process, ULONG flags, void* base, SIZE_T size,
                              void** addresses, ULONG_PTR* count, ULONG* granularity)
{
    if (!is_current_process(process)) [[unlikely]] {
        const Target target = find_target(process);
        if (target.status != win32::status_success)
            return target.status;
        if (target.remote != nullptr)
            return win32::may_get(target.access, flags)
                       ? win32::get_write_watch(*target.remote, flags, base, size, addresses, count,
                                                granularity)
                       : win32::status_access_denied;
        if (target.other)
            return host->wine.get_write_watch(process, flags, base, size, addresses, count,
                                              granularity);
    }
    const auto region = region_at(base);
    if (!region)
        return host->wine.get_write_watch(process, flags, base, size, addresses, count,
                                          granularity);
    return win32::get_write_watch(host->watches, region, flags, base, size, addresses, count,
                                  granularity);
}

NTSTATUS hook_reset_write_watch(HANDLE process, void* base, SIZE_T size)
{
    if (!is_current_process(process)) [[unlikely]] {
        const Target target = find_target(process);
        if (target.status != win32::status_success)
            return target.status;
        if (target.remote != nullptr)
            return win32::may_reset(target.access)
                       ? win32::reset_write_watch(*target.remote, base, size)
                       : win32::status_access_denied;
        if (target.other)
            return host->wine.reset_write_watch(process, base, size);
    }
    const auto region = region_at(base);
    if (!region)
        return host->wine.reset_write_watch(process, base, size);
    return win32::reset_write_watch(host->watches, region, base, size);
}

// VmPageDirtyStateInformation makes pages clean. Wine 8.0 does not know it, Wine 10.0 only for its
// own purposes; of a list with memory of both kinds, each gets what is its own.
NTSTATUS hook_set_information_virtual_memory(HANDLE process, ULONG information_class,
                                             ULONG_PTR count, const MemoryRange* ranges,
                                             void* information, ULONG size)
{
    const auto pass = [&](ULONG_PTR n, const MemoryRange* list) {
        return host->wine.set_information_virtual_memory(process, information_class, n, list,
                                                         information, size);
    };
    if (information_class != vm_page_dirty_state_information || !is_current_process(process) ||
        ranges == nullptr)
        return pass(count, ranges);

    bool any_watched = false;
    for (ULONG_PTR i = 0; i < count && !any_watched; ++i)
        any_watched = region_at(win32::read_from_program(&ranges[i].address)).has_value();
    if (!any_watched)
        return pass(count, ranges);

    if (information == nullptr)
        return status_invalid_parameter_5;
    if (size != sizeof(ULONG))
        return status_invalid_parameter_6;
    if (win32::read_from_program(static_cast<const ULONG*>(information)) != 0)
        return status_invalid_parameter_5;

    for (ULONG_PTR i = 0; i < count; ++i) {
        const MemoryRange range = win32::read_from_program(&ranges[i]);
        const auto region = region_at(range.address);
        const NTSTATUS status =
            region ? win32::reset_write_watch(host->watches, region, range.address, range.size)
                   : pass(1, &ranges[i]);
        if (status != win32::status_success)
            return status;
    }
    return win32::status_success;
}

} // namespace writewatch::wine
