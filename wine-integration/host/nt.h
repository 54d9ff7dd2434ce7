// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the hooks need of Windows' native API beyond <writewatch/win32.h>. Numbers from Microsoft's
// documentation of NtAllocateVirtualMemoryEx, VirtualFree and NtSetInformationVirtualMemory.
#pragma once

#include <writewatch/win32.h>

#include <cstdint>

namespace writewatch::wine {

inline constexpr ULONG mem_preserve_placeholder = 0x2; // MEM_PRESERVE_PLACEHOLDER

// VIRTUAL_MEMORY_INFORMATION_CLASS: VmPageDirtyStateInformation
inline constexpr ULONG vm_page_dirty_state_information = 3;

inline constexpr NTSTATUS status_invalid_parameter_3 = static_cast<NTSTATUS>(0xC00000F1);
inline constexpr NTSTATUS status_invalid_parameter_5 = static_cast<NTSTATUS>(0xC00000F3);
inline constexpr NTSTATUS status_invalid_parameter_6 = static_cast<NTSTATUS>(0xC00000F4);

// MEMORY_RANGE_ENTRY
struct MemoryRange {
    void* address;
    SIZE_T size;
};
static_assert(sizeof(MemoryRange) == 16);

// PROCESS_BASIC_INFORMATION, and its PROCESSINFOCLASS
inline constexpr ULONG process_basic_information = 0;
struct ProcessBasicInformation {
    NTSTATUS exit_status;
    void* peb;
    ULONG_PTR affinity;
    LONG base_priority;
    ULONG_PTR process_id;
    ULONG_PTR parent_id;
};
static_assert(sizeof(ProcessBasicInformation) == 48);

// The pseudo handle: all bits set.
inline bool is_current_process(HANDLE process)
{
    return reinterpret_cast<std::uintptr_t>(process) == ~std::uintptr_t{0};
}

} // namespace writewatch::wine
