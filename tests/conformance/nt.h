// SPDX-License-Identifier: LGPL-2.1-or-later
// ntdll's functions and constants that mingw-w64's headers lack. Windows programs only.
#ifndef WRITEWATCH_TESTS_CONFORMANCE_NT_H
#define WRITEWATCH_TESTS_CONFORMANCE_NT_H

#include "conformance.h"

#ifdef _WIN32

extern "C" {
NTSTATUS NTAPI NtAllocateVirtualMemory(HANDLE process, PVOID* base, ULONG_PTR zero_bits,
                                       SIZE_T* size, ULONG type, ULONG protect);
NTSTATUS NTAPI NtFreeVirtualMemory(HANDLE process, PVOID* base, SIZE_T* size, ULONG type);
NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE process, PVOID* base, SIZE_T* size, ULONG protect,
                                      ULONG* old_protect);
NTSTATUS NTAPI NtWriteVirtualMemory(HANDLE process, PVOID base, const void* buffer, SIZE_T size,
                                    SIZE_T* written);
}

// Documented with VirtualAlloc2 and VirtualFree.
#ifndef MEM_REPLACE_PLACEHOLDER
#define MEM_REPLACE_PLACEHOLDER 0x00004000
#endif
#ifndef MEM_RESERVE_PLACEHOLDER
#define MEM_RESERVE_PLACEHOLDER 0x00040000
#endif
#ifndef MEM_PRESERVE_PLACEHOLDER
#define MEM_PRESERVE_PLACEHOLDER 0x00000002
#endif
#ifndef MEM_RESET_UNDO
#define MEM_RESET_UNDO 0x01000000
#endif

namespace conformance {

/// A function that not every Windows has; skips the rule where it is missing.
template<typename Function> Function function_or_skip(const char* module, const char* name)
{
    const HMODULE loaded = LoadLibraryA(module);
    const FARPROC address = loaded ? GetProcAddress(loaded, name) : nullptr;
    if (!address)
        skip(std::string(module) + " has no " + name);
    return reinterpret_cast<Function>(reinterpret_cast<void*>(address));
}

} // namespace conformance

#endif
#endif
