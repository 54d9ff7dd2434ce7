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

} // namespace writewatch::win32
