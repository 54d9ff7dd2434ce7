// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The exported functions of libwritewatch-win32: the calling convention and nothing else.
#include "shim/host/win32_api.h"

#include <writewatch/win32.h>

#define WRITEWATCH_EXPORT extern "C" __attribute__((visibility("default")))

namespace host = writewatch::host;

WRITEWATCH_EXPORT UINT WINAPI GetWriteWatch(DWORD flags, LPVOID base, SIZE_T size,
                                            LPVOID* addresses, ULONG_PTR* count, ULONG* granularity)
{
    return host::get_write_watch(flags, base, size, addresses, count, granularity);
}

WRITEWATCH_EXPORT UINT WINAPI ResetWriteWatch(LPVOID base, SIZE_T size)
{
    return host::reset_write_watch(base, size);
}

WRITEWATCH_EXPORT NTSTATUS WINAPI NtGetWriteWatch(HANDLE process, ULONG flags, PVOID base,
                                                  SIZE_T size, PVOID* addresses, ULONG_PTR* count,
                                                  ULONG* granularity)
{
    return host::nt_get_write_watch(process, flags, base, size, addresses, count, granularity);
}

WRITEWATCH_EXPORT NTSTATUS WINAPI NtResetWriteWatch(HANDLE process, PVOID base, SIZE_T size)
{
    return host::nt_reset_write_watch(process, base, size);
}

WRITEWATCH_EXPORT LPVOID WINAPI VirtualAlloc(LPVOID base, SIZE_T size, DWORD type, DWORD protect)
{
    return host::virtual_alloc(base, size, type, protect);
}

WRITEWATCH_EXPORT BOOL WINAPI VirtualFree(LPVOID base, SIZE_T size, DWORD type)
{
    return host::virtual_free(base, size, type);
}

WRITEWATCH_EXPORT BOOL WINAPI VirtualProtect(LPVOID base, SIZE_T size, DWORD protect,
                                             LPDWORD old_protect)
{
    return host::virtual_protect(base, size, protect, old_protect);
}

WRITEWATCH_EXPORT SIZE_T WINAPI VirtualQuery(LPCVOID address, PMEMORY_BASIC_INFORMATION info,
                                             SIZE_T length)
{
    return host::virtual_query(address, info, length);
}

WRITEWATCH_EXPORT HANDLE WINAPI OpenProcess(DWORD access, BOOL, DWORD process)
{
    return host::open_process(access, process);
}

WRITEWATCH_EXPORT BOOL WINAPI CloseHandle(HANDLE handle)
{
    return host::close_handle(handle);
}

WRITEWATCH_EXPORT DWORD WINAPI GetLastError(void)
{
    return host::get_last_error();
}

WRITEWATCH_EXPORT void WINAPI SetLastError(DWORD error)
{
    host::set_last_error(error);
}
