// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The half of win32-callers-agree that is compiled with Wine's headers, ours after them.
// clang-format off
#include <ntstatus.h>
#define WIN32_NO_STATUS
#include <windef.h>
#include <winbase.h>
#include <winternl.h>
#include <writewatch/win32.h>
// clang-format on

#ifdef WRITEWATCH_OWN_WIN32_TYPES
#error "win32.h did not notice Wine's headers"
#endif

extern "C" int query_with_wines_headers(void* base, unsigned long size, unsigned long page)
{
    void* addresses[4] = {};
    ULONG_PTR count = 4;
    ULONG granularity = 0;
    if (GetWriteWatch(0, base, size, addresses, &count, &granularity) != 0)
        return 1;
    if (count != 1 || granularity != page || addresses[0] != static_cast<char*>(base) + page)
        return 2;
    MEMORY_BASIC_INFORMATION information;
    if (VirtualQuery(base, &information, sizeof(information)) != sizeof(information) ||
        information.RegionSize != size || information.State != MEM_COMMIT)
        return 3;
    SetLastError(0);
    if (GetWriteWatch(7, base, size, addresses, &count, &granularity) != ~0u ||
        GetLastError() != ERROR_INVALID_PARAMETER)
        return 4;
    count = 4;
    if (NtGetWriteWatch(NtCurrentProcess(), 0, base, size, addresses, nullptr, &granularity) !=
        STATUS_ACCESS_VIOLATION)
        return 5;
    return NtResetWriteWatch(NtCurrentProcess(), base, size) == STATUS_SUCCESS ? 0 : 6;
}
