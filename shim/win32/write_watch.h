// SPDX-License-Identifier: LGPL-2.1-or-later
//
// NtGetWriteWatch and NtResetWriteWatch over a watch set: the order of checks, rounding, and
// statuses that Windows has (facts: docs/conformance rules), for every host.
//
// Under Wine a fault on a caller's pointer returns to the program with STATUS_ACCESS_VIOLATION and
// runs nothing of ours any more. So nothing is held here, the caller's array is touched before
// anything is reset, and the results are the last thing written. Natively the fault is a SIGSEGV at
// the same places.
#pragma once

#include "shim/core/watch_set.h"
#include "shim/registry/remote.h"

#include <writewatch/win32.h>

#include <optional>

namespace writewatch::win32 {

// The whole pages that a byte range touches; nothing when it is empty, wraps or leaves the user
// half.
std::optional<PageRange> pages_of(const void* base, SIZE_T size) noexcept;

// `region`: what watches.find answers for the page of `base`; a host that must know beforehand
// whether the address is ours has it already.
NTSTATUS get_write_watch(core::WatchSet& watches, const std::optional<core::Region>& region,
                         ULONG flags, void* base, SIZE_T size, void** addresses, ULONG_PTR* count,
                         ULONG* granularity) noexcept;

NTSTATUS get_write_watch(core::WatchSet& watches, ULONG flags, void* base, SIZE_T size,
                         void** addresses, ULONG_PTR* count, ULONG* granularity) noexcept;

NTSTATUS reset_write_watch(core::WatchSet& watches, const std::optional<core::Region>& region,
                           void* base, SIZE_T size) noexcept;

NTSTATUS reset_write_watch(core::WatchSet& watches, void* base, SIZE_T size) noexcept;

// The same about another process. STATUS_PROCESS_IS_TERMINATING when it has ended.
NTSTATUS get_write_watch(registry::RemoteProcess& process, ULONG flags, void* base, SIZE_T size,
                         void** addresses, ULONG_PTR* count, ULONG* granularity) noexcept;
NTSTATUS reset_write_watch(registry::RemoteProcess& process, void* base, SIZE_T size) noexcept;

// What a process handle must have been opened for (win32.h says why).
constexpr bool may_get(ULONG access, ULONG flags)
{
    return (access & PROCESS_VM_OPERATION) != 0 ||
           ((flags & WRITE_WATCH_FLAG_RESET) == 0 && (access & PROCESS_QUERY_INFORMATION) != 0);
}
constexpr bool may_reset(ULONG access)
{
    return (access & PROCESS_VM_OPERATION) != 0;
}

// The status for what RemoteProcess answers.
NTSTATUS from_remote_errno(int error) noexcept;

} // namespace writewatch::win32
