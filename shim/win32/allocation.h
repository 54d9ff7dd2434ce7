// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What Windows thinks of the arguments of its allocation functions, before it looks at any memory.
// Shared by the hosts: Wine 8.0 accepts combinations that Windows refuses.
#pragma once

#include <writewatch/win32.h>

#include <optional>

namespace writewatch::win32 {

// MEM_* of an allocation: STATUS_SUCCESS, or why Windows refuses the combination.
NTSTATUS check_allocation_type(ULONG type) noexcept;

// The same for what MEM_WRITE_WATCH adds: it can be set only together with MEM_RESERVE, and not
// with large or physical pages, placeholders or MEM_RESET.
NTSTATUS check_write_watch_type(ULONG type) noexcept;

// PROT_* for a PAGE_* constant; nothing when Windows has no such protection. PAGE_GUARD is not
// among them: it needs Windows' exceptions (see allows_guard in the hosts).
std::optional<int> to_protection(ULONG page_protection) noexcept;

} // namespace writewatch::win32
