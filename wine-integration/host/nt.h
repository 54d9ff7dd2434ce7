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

// What NtCompareObjects answers for handles to two objects: STATUS_NOT_SAME_OBJECT
inline constexpr NTSTATUS status_not_same_object = static_cast<NTSTATUS>(0xC00001AC);

// The pseudo handle: all bits set.
inline HANDLE current_process()
{
    return reinterpret_cast<HANDLE>(~std::uintptr_t{0});
}

inline bool is_current_process(HANDLE process)
{
    return process == current_process();
}

} // namespace writewatch::wine
