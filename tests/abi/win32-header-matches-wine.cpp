// SPDX-License-Identifier: LGPL-2.1-or-later
//
// writewatch/win32.h against Wine's headers: compiling this file is the comparison. Ours is
// included inside a namespace and Wine's outside, so that both sets of types exist side by side.
// The functions of ours get names of their own first (in C linkage a name is one function, whatever
// its namespace) and are declared again with Wine's types at the end: a different parameter, result
// or calling convention is a compile error. The constants are macros: ours are saved before Wine's
// headers define theirs.
//
// Compile with -DDECLSPEC_HIDDEN= -DDECLSPEC_IMPORT= as every program that uses both must (Wine
// marks its imports hidden).
#include <cstddef>
#include <type_traits>

#define GetWriteWatch ours_GetWriteWatch
#define ResetWriteWatch ours_ResetWriteWatch
#define VirtualAlloc ours_VirtualAlloc
#define VirtualFree ours_VirtualFree
#define VirtualProtect ours_VirtualProtect
#define VirtualQuery ours_VirtualQuery
#define OpenProcess ours_OpenProcess
#define CloseHandle ours_CloseHandle
#define GetLastError ours_GetLastError
#define SetLastError ours_SetLastError
#define NtGetWriteWatch ours_NtGetWriteWatch
#define NtResetWriteWatch ours_NtResetWriteWatch

namespace ours {
#include <writewatch/win32.h>
#ifndef WRITEWATCH_OWN_WIN32_TYPES
#error "Wine's headers came first: nothing would be compared"
#endif

inline HANDLE nt_current_process()
{
    return NtCurrentProcess();
}

} // namespace ours

#undef GetWriteWatch
#undef ResetWriteWatch
#undef VirtualAlloc
#undef VirtualFree
#undef VirtualProtect
#undef VirtualQuery
#undef OpenProcess
#undef CloseHandle
#undef GetLastError
#undef SetLastError
#undef NtGetWriteWatch
#undef NtResetWriteWatch

// Not X(MEM_RESET_UNDO): Wine 8.0's and 10.0's winnt.h have 0x10000000, Windows' (and mingw-w64's)
// number is this.
static_assert(MEM_RESET_UNDO == 0x01000000);

// Every constant of win32.h; tests/abi/win32-constants-complete checks that none is forgotten.
#define WRITEWATCH_WIN32_CONSTANTS(X)                                                              \
    X(TRUE)                                                                                        \
    X(FALSE)                                                                                       \
    X(MEM_COMMIT)                                                                                  \
    X(MEM_RESERVE)                                                                                 \
    X(MEM_REPLACE_PLACEHOLDER)                                                                     \
    X(MEM_DECOMMIT)                                                                                \
    X(MEM_RELEASE)                                                                                 \
    X(MEM_FREE)                                                                                    \
    X(MEM_PRIVATE)                                                                                 \
    X(MEM_MAPPED)                                                                                  \
    X(MEM_RESERVE_PLACEHOLDER)                                                                     \
    X(MEM_RESET)                                                                                   \
    X(MEM_TOP_DOWN)                                                                                \
    X(MEM_WRITE_WATCH)                                                                             \
    X(MEM_PHYSICAL)                                                                                \
    X(MEM_LARGE_PAGES)                                                                             \
    X(PAGE_NOACCESS)                                                                               \
    X(PAGE_READONLY)                                                                               \
    X(PAGE_READWRITE)                                                                              \
    X(PAGE_WRITECOPY)                                                                              \
    X(PAGE_EXECUTE)                                                                                \
    X(PAGE_EXECUTE_READ)                                                                           \
    X(PAGE_EXECUTE_READWRITE)                                                                      \
    X(PAGE_EXECUTE_WRITECOPY)                                                                      \
    X(PAGE_GUARD)                                                                                  \
    X(PAGE_NOCACHE)                                                                                \
    X(PAGE_WRITECOMBINE)                                                                           \
    X(PROCESS_VM_OPERATION)                                                                        \
    X(PROCESS_QUERY_INFORMATION)                                                                   \
    X(PROCESS_QUERY_LIMITED_INFORMATION)                                                           \
    X(PROCESS_ALL_ACCESS)                                                                          \
    X(WRITE_WATCH_FLAG_RESET)                                                                      \
    X(NO_ERROR)                                                                                    \
    X(ERROR_SUCCESS)                                                                               \
    X(ERROR_ACCESS_DENIED)                                                                         \
    X(ERROR_INVALID_HANDLE)                                                                        \
    X(ERROR_NOT_ENOUGH_MEMORY)                                                                     \
    X(ERROR_BAD_LENGTH)                                                                            \
    X(ERROR_INVALID_PARAMETER)                                                                     \
    X(ERROR_INVALID_ADDRESS)                                                                       \
    X(ERROR_NOACCESS)                                                                              \
    X(ERROR_COMMITMENT_LIMIT)                                                                      \
    X(STATUS_SUCCESS)                                                                              \
    X(STATUS_ACCESS_VIOLATION)                                                                     \
    X(STATUS_INVALID_HANDLE)                                                                       \
    X(STATUS_INVALID_PARAMETER)                                                                    \
    X(STATUS_ACCESS_DENIED)                                                                        \
    X(STATUS_PROCESS_IS_TERMINATING)                                                               \
    X(STATUS_NO_MEMORY)

// `NAME##_` stops NAME itself from being expanded first.
namespace ours {
#define SAVE(NAME) constexpr auto NAME##_ = NAME;
WRITEWATCH_WIN32_CONSTANTS(SAVE)
#undef SAVE
} // namespace ours

// Ours would hide whether Wine has them at all.
#undef STATUS_SUCCESS
#undef STATUS_ACCESS_VIOLATION
#undef STATUS_INVALID_HANDLE
#undef STATUS_INVALID_PARAMETER
#undef STATUS_NO_MEMORY
#undef NtCurrentProcess
#undef TRUE
#undef FALSE
#undef WINAPI
#undef NTAPI

// ntstatus.h has every status, and only when it comes first.
// clang-format off
#include <ntstatus.h>
#define WIN32_NO_STATUS
#include <windef.h>
#include <winbase.h>
#include <winerror.h>
#include <winternl.h>
// clang-format on

// ---- constants: the same value, size and sign ----
#define SAME(NAME)                                                                                 \
    static_assert(ours::NAME##_ == NAME, #NAME);                                                   \
    static_assert(sizeof(ours::NAME##_) == sizeof(NAME), #NAME " has another size");               \
    static_assert((ours::NAME##_ < 0) == (NAME < 0), #NAME " has another sign");
WRITEWATCH_WIN32_CONSTANTS(SAME)

// ---- types ----
#define SAME_TYPE(NAME) static_assert(std::is_same_v<ours::NAME, ::NAME>, #NAME)
SAME_TYPE(BOOL);
SAME_TYPE(BYTE);
SAME_TYPE(WORD);
SAME_TYPE(LONG);
SAME_TYPE(UINT);
SAME_TYPE(ULONG);
SAME_TYPE(PULONG);
SAME_TYPE(DWORD);
SAME_TYPE(PDWORD);
SAME_TYPE(LPDWORD);
SAME_TYPE(ULONG_PTR);
SAME_TYPE(PULONG_PTR);
SAME_TYPE(SIZE_T);
SAME_TYPE(PSIZE_T);
SAME_TYPE(PVOID);
SAME_TYPE(LPVOID);
SAME_TYPE(LPCVOID);
SAME_TYPE(HANDLE);
SAME_TYPE(NTSTATUS);

#define SAME_FIELD(FIELD)                                                                          \
    static_assert(offsetof(ours::MEMORY_BASIC_INFORMATION, FIELD) ==                               \
                      offsetof(::MEMORY_BASIC_INFORMATION, FIELD),                                 \
                  #FIELD);                                                                         \
    static_assert(std::is_same_v<decltype(ours::MEMORY_BASIC_INFORMATION::FIELD),                  \
                                 decltype(::MEMORY_BASIC_INFORMATION::FIELD)>,                     \
                  #FIELD)
static_assert(sizeof(ours::MEMORY_BASIC_INFORMATION) == sizeof(::MEMORY_BASIC_INFORMATION));
SAME_FIELD(BaseAddress);
SAME_FIELD(AllocationBase);
SAME_FIELD(AllocationProtect);
SAME_FIELD(RegionSize);
SAME_FIELD(State);
SAME_FIELD(Protect);
SAME_FIELD(Type);

// ---- functions ----
// In this order: g++ lets a declaration without ms_abi pass after one with it, not the other way
// round; nor would templates do, where it drops ms_abi from arguments.
namespace ours {
extern "C" {
#define SAME_FUNCTION(NAME) decltype(::NAME) ours_##NAME
SAME_FUNCTION(GetWriteWatch);
SAME_FUNCTION(ResetWriteWatch);
SAME_FUNCTION(VirtualAlloc);
SAME_FUNCTION(VirtualFree);
SAME_FUNCTION(VirtualProtect);
SAME_FUNCTION(OpenProcess);
SAME_FUNCTION(CloseHandle);
SAME_FUNCTION(GetLastError);
SAME_FUNCTION(SetLastError);
SAME_FUNCTION(NtGetWriteWatch);
SAME_FUNCTION(NtResetWriteWatch);
// One prototype has a struct of its own in it, which is two types here.
__attribute__((ms_abi)) SIZE_T ours_VirtualQuery(LPCVOID, PMEMORY_BASIC_INFORMATION, SIZE_T);
}
} // namespace ours
extern "C" __attribute__((ms_abi)) SIZE_T VirtualQuery(LPCVOID, PMEMORY_BASIC_INFORMATION, SIZE_T);

int main()
{
    return ours::nt_current_process() == NtCurrentProcess() ? 0 : 1;
}
