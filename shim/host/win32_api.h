// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The functions of <writewatch/win32.h> in the System V calling convention. The exported entries
// (win32_entries.cpp) do nothing but call these: g++ 12 miscompiles thread_local access inside
// functions of the Microsoft convention, without a word.
#pragma once

#include <writewatch/win32.h>

namespace writewatch::host {

UINT get_write_watch(DWORD flags, void* base, SIZE_T size, void** addresses, ULONG_PTR* count,
                     ULONG* granularity) noexcept;
UINT reset_write_watch(void* base, SIZE_T size) noexcept;
NTSTATUS nt_get_write_watch(HANDLE process, ULONG flags, void* base, SIZE_T size, void** addresses,
                            ULONG_PTR* count, ULONG* granularity) noexcept;
NTSTATUS nt_reset_write_watch(HANDLE process, void* base, SIZE_T size) noexcept;

void* virtual_alloc(void* base, SIZE_T size, DWORD type, DWORD protect) noexcept;
BOOL virtual_free(void* base, SIZE_T size, DWORD type) noexcept;
BOOL virtual_protect(void* base, SIZE_T size, DWORD protect, DWORD* old_protect) noexcept;
SIZE_T virtual_query(const void* address, MEMORY_BASIC_INFORMATION* info, SIZE_T length) noexcept;

HANDLE open_process(DWORD access, DWORD pid) noexcept;
BOOL close_handle(HANDLE handle) noexcept;

DWORD get_last_error() noexcept;
void set_last_error(DWORD error) noexcept;

} // namespace writewatch::host
