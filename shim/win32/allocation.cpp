// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/win32/allocation.h"

#include "shim/win32/status.h"

#include <sys/mman.h>

namespace writewatch::win32 {

NTSTATUS check_allocation_type(ULONG type) noexcept
{
    constexpr ULONG actions = MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_RESET_UNDO;
    constexpr ULONG modifiers = MEM_TOP_DOWN | MEM_WRITE_WATCH | MEM_PHYSICAL | MEM_LARGE_PAGES |
                                MEM_RESERVE_PLACEHOLDER | MEM_REPLACE_PLACEHOLDER;
    if ((type & ~(actions | modifiers)) != 0 || (type & actions) == 0)
        return status_invalid_parameter;
    // The resets are actions of their own; nothing but they may be asked for.
    if ((type & MEM_RESET) != 0 && type != MEM_RESET)
        return status_invalid_parameter;
    if ((type & MEM_RESET_UNDO) != 0 && type != MEM_RESET_UNDO)
        return status_invalid_parameter;
    return check_write_watch_type(type);
}

NTSTATUS check_write_watch_type(ULONG type) noexcept
{
    if ((type & MEM_WRITE_WATCH) == 0)
        return status_success;
    if ((type & MEM_RESERVE) == 0)
        return status_invalid_parameter;
    if ((type & (MEM_LARGE_PAGES | MEM_PHYSICAL | MEM_RESERVE_PLACEHOLDER | MEM_RESET |
                 MEM_RESET_UNDO)) != 0)
        return status_invalid_parameter;
    return status_success;
}

std::optional<int> to_protection(ULONG page_protection) noexcept
{
    // They change how memory is cached, which a process cannot ask of Linux.
    const ULONG base = page_protection & ~static_cast<ULONG>(PAGE_NOCACHE | PAGE_WRITECOMBINE);
    switch (base) {
    case PAGE_NOACCESS:
        // Windows refuses cache modifiers on inaccessible pages.
        if (base != page_protection)
            return std::nullopt;
        return PROT_NONE;
    case PAGE_READONLY:
        return PROT_READ;
    case PAGE_READWRITE:
        return PROT_READ | PROT_WRITE;
    case PAGE_EXECUTE:
    case PAGE_EXECUTE_READ: // x86 cannot execute what it cannot read
        return PROT_READ | PROT_EXEC;
    case PAGE_EXECUTE_READWRITE:
        return PROT_READ | PROT_WRITE | PROT_EXEC;
    default: // PAGE_WRITECOPY and its like are for file views
        return std::nullopt;
    }
}

} // namespace writewatch::win32
