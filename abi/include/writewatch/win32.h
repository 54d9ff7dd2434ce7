/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * \file writewatch/win32.h
 * \brief Windows' write-watch functions for native Linux programs (library libwritewatch-win32).
 *
 * The same source compiles in three places:
 *  - for Windows (mingw-w64, MSVC): the system's own headers are included, nothing is declared here
 *    that they have;
 *  - with Wine's headers included first: their types and prototypes are used; ours agree with them
 *    (tests/abi/win32-header-matches-wine.cpp). Wine's headers mark imports hidden outside a
 *    Windows module: compile with -DDECLSPEC_HIDDEN= (Wine 8.0) and
 *    -DDECLSPEC_IMPORT= (Wine 10.0), as pkg-config writewatch-win32 says;
 *  - with neither: the subset of winnt.h, winbase.h and winternl.h below.
 *
 * All functions use WINAPI, the Microsoft x64 calling convention, so that code compiled with either
 * set of headers calls the same functions. x86-64 only.
 *
 * All functions are thread-safe. GetWriteWatch, ResetWriteWatch and their Nt counterparts take no
 * lock and allocate nothing: a thread may be stopped anywhere in them without blocking another.
 * None is async-signal-safe for a signal that interrupts VirtualAlloc, VirtualFree or
 * VirtualProtect. What differs from Windows is listed in docs/deviations.md.
 */
#ifndef WRITEWATCH_WIN32_H
#define WRITEWATCH_WIN32_H

#ifdef _WIN32

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#include <winternl.h>

#ifndef NtCurrentProcess
#define NtCurrentProcess() ((HANDLE) ~(ULONG_PTR)0)
#endif

#ifndef STATUS_SUCCESS
#define STATUS_SUCCESS ((NTSTATUS)0x00000000)
#endif
#ifndef STATUS_INVALID_HANDLE
#define STATUS_INVALID_HANDLE ((NTSTATUS)0xC0000008)
#endif
#ifndef STATUS_INVALID_PARAMETER
#define STATUS_INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#endif
#ifndef STATUS_ACCESS_VIOLATION
#define STATUS_ACCESS_VIOLATION ((NTSTATUS)0xC0000005)
#endif
#ifndef STATUS_NO_MEMORY
#define STATUS_NO_MEMORY ((NTSTATUS)0xC0000017)
#endif

#else /* not Windows */

#ifndef __x86_64__
#error "writewatch/win32.h: WINAPI is the Microsoft x64 calling convention; only x86-64 has it"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#ifndef _WINNT_ /* Wine's winnt.h was not included */
#define WRITEWATCH_OWN_WIN32_TYPES 1

#define WINAPI __attribute__((ms_abi))
#define NTAPI WINAPI

#define TRUE 1
#define FALSE 0

typedef int BOOL;
typedef unsigned char BYTE;
typedef unsigned short WORD;
typedef int LONG;
typedef unsigned int UINT;
typedef unsigned int ULONG, *PULONG;
typedef unsigned int DWORD, *PDWORD, *LPDWORD;
typedef unsigned long ULONG_PTR, *PULONG_PTR;
typedef ULONG_PTR SIZE_T, *PSIZE_T;
typedef void *PVOID, *LPVOID;
typedef const void* LPCVOID;
typedef void* HANDLE;

/* Allocation types and states */
#define MEM_COMMIT 0x00001000
#define MEM_RESERVE 0x00002000
#define MEM_REPLACE_PLACEHOLDER 0x00004000
#define MEM_DECOMMIT 0x00004000
#define MEM_RELEASE 0x00008000
#define MEM_FREE 0x00010000
#define MEM_PRIVATE 0x00020000
#define MEM_MAPPED 0x00040000
#define MEM_RESERVE_PLACEHOLDER 0x00040000
#define MEM_RESET 0x00080000
#define MEM_TOP_DOWN 0x00100000
#define MEM_WRITE_WATCH 0x00200000
#define MEM_PHYSICAL 0x00400000
#define MEM_RESET_UNDO 0x01000000 /* Wine's headers have another number, wrongly */
#define MEM_LARGE_PAGES 0x20000000

/* Page protections */
#define PAGE_NOACCESS 0x01
#define PAGE_READONLY 0x02
#define PAGE_READWRITE 0x04
#define PAGE_WRITECOPY 0x08
#define PAGE_EXECUTE 0x10
#define PAGE_EXECUTE_READ 0x20
#define PAGE_EXECUTE_READWRITE 0x40
#define PAGE_EXECUTE_WRITECOPY 0x80
#define PAGE_GUARD 0x100
#define PAGE_NOCACHE 0x200
#define PAGE_WRITECOMBINE 0x400

/* Access rights of process handles */
#define PROCESS_VM_OPERATION 0x0008
#define PROCESS_QUERY_INFORMATION 0x0400
#define PROCESS_QUERY_LIMITED_INFORMATION 0x1000
#define PROCESS_ALL_ACCESS 0x001FFFFF

/* GetWriteWatch: reset the pages that are returned */
#define WRITE_WATCH_FLAG_RESET 0x00000001

typedef struct _MEMORY_BASIC_INFORMATION {
    LPVOID BaseAddress;
    LPVOID AllocationBase;
    DWORD AllocationProtect;
    SIZE_T RegionSize;
    DWORD State;
    DWORD Protect;
    DWORD Type;
} MEMORY_BASIC_INFORMATION, *PMEMORY_BASIC_INFORMATION;

#endif /* _WINNT_ */

#ifndef __WINE_WINERROR_H
#define NO_ERROR 0
#define ERROR_SUCCESS 0
#define ERROR_ACCESS_DENIED 5
#define ERROR_INVALID_HANDLE 6
#define ERROR_NOT_ENOUGH_MEMORY 8
#define ERROR_BAD_LENGTH 24
#define ERROR_INVALID_PARAMETER 87
#define ERROR_INVALID_ADDRESS 487
#define ERROR_NOACCESS 998
#define ERROR_COMMITMENT_LIMIT 1455
#endif

#ifndef __WINE_WINTERNL_H
typedef LONG NTSTATUS;
#define NtCurrentProcess() ((HANDLE) ~(ULONG_PTR)0)
#endif

#ifndef STATUS_SUCCESS
#define STATUS_SUCCESS ((NTSTATUS)0x00000000)
#endif
#ifndef STATUS_ACCESS_VIOLATION
#define STATUS_ACCESS_VIOLATION ((NTSTATUS)0xC0000005)
#endif
#ifndef STATUS_INVALID_HANDLE
#define STATUS_INVALID_HANDLE ((NTSTATUS)0xC0000008)
#endif
#ifndef STATUS_INVALID_PARAMETER
#define STATUS_INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#endif
#ifndef STATUS_NO_MEMORY
#define STATUS_NO_MEMORY ((NTSTATUS)0xC0000017)
#endif
#ifndef STATUS_ACCESS_DENIED
#define STATUS_ACCESS_DENIED ((NTSTATUS)0xC0000022)
#endif
#ifndef STATUS_PROCESS_IS_TERMINATING
#define STATUS_PROCESS_IS_TERMINATING ((NTSTATUS)0xC000010A)
#endif

#ifndef __WINE_WINBASE_H

/**
 * \brief The pages of a range that were written since they were allocated, committed or last reset.
 * \param flags        0, or WRITE_WATCH_FLAG_RESET to reset exactly the pages that are returned
 * \param base         any address in a MEM_WRITE_WATCH allocation; rounded down to a page
 * \param size         bytes; base + size is rounded up to a page and must not leave the allocation
 * \param addresses    the caller's array; receives page addresses, ascending
 * \param count        in: entries the array holds; out: entries written. Entries beyond are
 * untouched \param granularity  out: the page size in bytes \returns 0, or ~0u with GetLastError()
 * (see NtGetWriteWatch for the order of checks): ERROR_NOACCESS, ERROR_INVALID_PARAMETER,
 * ERROR_NOT_ENOUGH_MEMORY. A failed call changes nothing.
 */
UINT WINAPI GetWriteWatch(DWORD flags, LPVOID base, SIZE_T size, LPVOID* addresses,
                          ULONG_PTR* count, ULONG* granularity);

/**
 * \brief Marks every page of the range as not written.
 * \param base  any address in a MEM_WRITE_WATCH allocation; rounded down to a page
 * \param size  bytes; base + size is rounded up to a page and must not leave the allocation
 * \returns 0, or ~0u with ERROR_INVALID_PARAMETER.
 */
UINT WINAPI ResetWriteWatch(LPVOID base, SIZE_T size);

/**
 * \brief Reserves or commits private memory, with MEM_RESERVE | MEM_WRITE_WATCH watched from here
 *        until its release.
 *
 * Reservations start at multiples of 64 KiB. MEM_RESET drops the contents lazily, as Windows may.
 * \returns the address, or NULL: ERROR_INVALID_PARAMETER, ERROR_INVALID_ADDRESS (the range is not
 *          free, or not reserved), ERROR_NOT_ENOUGH_MEMORY (memory, or the kernel's
 * vm.max_map_count).
 */
LPVOID WINAPI VirtualAlloc(LPVOID base, SIZE_T size, DWORD type, DWORD protect);

/**
 * \brief MEM_RELEASE: ends a whole allocation (size must be 0, base its start) and its watch.
 *        MEM_DECOMMIT: drops pages, which are clean when committed again; size 0 means all.
 * \returns TRUE, or FALSE with ERROR_INVALID_PARAMETER or ERROR_INVALID_ADDRESS.
 */
BOOL WINAPI VirtualFree(LPVOID base, SIZE_T size, DWORD type);

/**
 * \brief Changes the protection of committed pages. Neither sets nor clears written state; pages
 * that are written at this moment stay reported, even after a decommit, until reset (as on
 * Windows). \param old_protect  receives the first page's previous protection; must not be NULL
 */
BOOL WINAPI VirtualProtect(LPVOID base, SIZE_T size, DWORD protect, LPDWORD old_protect);

/**
 * \brief Describes the run of pages from \p address on that share state and protection. Memory that
 *        VirtualAlloc did not give is reported as MEM_FREE.
 * \returns the bytes written to \p info, or 0 with the last error set.
 */
SIZE_T WINAPI VirtualQuery(LPCVOID address, PMEMORY_BASIC_INFORMATION info, SIZE_T length);

/**
 * \brief A handle for another process's write watches (NtGetWriteWatch, NtResetWriteWatch), or for
 *        this one's. The process must be this user's and use writewatch to be watched.
 * \param access   what the handle is for: PROCESS_QUERY_INFORMATION, PROCESS_VM_OPERATION
 * \param inherit  ignored: a fork's child has all handles, a program started by exec none
 * \param process  the process's Linux pid
 * \returns the handle, to be closed with CloseHandle, or NULL: ERROR_INVALID_PARAMETER (no such
 *          process), ERROR_ACCESS_DENIED (the kernel's ptrace rights, PTRACE_MODE_READ in
 *          ptrace(2)), ERROR_NOT_ENOUGH_MEMORY.
 */
HANDLE WINAPI OpenProcess(DWORD access, BOOL inherit, DWORD process);

/** \brief Closes a handle of OpenProcess. \returns TRUE, or FALSE with ERROR_INVALID_HANDLE. */
BOOL WINAPI CloseHandle(HANDLE handle);

/** \brief The calling thread's last error; successful calls leave it alone. */
DWORD WINAPI GetLastError(void);
void WINAPI SetLastError(DWORD error);

#endif /* __WINE_WINBASE_H */

#ifndef __WINE_WINTERNL_H
/**
 * \brief GetWriteWatch with an NTSTATUS. Order of checks: \p count or \p granularity NULL
 *        (STATUS_ACCESS_VIOLATION); *count or size 0, unknown flags (STATUS_INVALID_PARAMETER);
 *        \p addresses NULL (STATUS_ACCESS_VIOLATION); the range not inside one watched allocation
 *        (STATUS_INVALID_PARAMETER). STATUS_NO_MEMORY when the kernel is out of memory.
 * \param process  NtCurrentProcess(), or a handle of OpenProcess. To read, it must have been opened
 *                 with PROCESS_QUERY_INFORMATION or PROCESS_VM_OPERATION, to reset with
 *                 PROCESS_VM_OPERATION (STATUS_ACCESS_DENIED). About another process:
 *                 STATUS_PROCESS_IS_TERMINATING when it has ended; STATUS_NOT_SUPPORTED when the
 *                 kernel does not track its writes. Its pages are shared out between all who reset
 *                 them, itself included. These calls allocate, and exclude each other.
 *                 STATUS_INVALID_HANDLE: none of these
 */
NTSTATUS WINAPI NtGetWriteWatch(HANDLE process, ULONG flags, PVOID base, SIZE_T size,
                                PVOID* addresses, ULONG_PTR* count, ULONG* granularity);
NTSTATUS WINAPI NtResetWriteWatch(HANDLE process, PVOID base, SIZE_T size);
#endif

#ifdef __cplusplus
}
#endif

#endif /* not Windows */

#if defined(_WIN32)
#ifdef __cplusplus
extern "C" {
#endif
/* In ntdll since Windows 2000, in no Windows SDK header. */
NTSTATUS NTAPI NtGetWriteWatch(HANDLE process, ULONG flags, PVOID base, SIZE_T size,
                               PVOID* addresses, ULONG_PTR* count, ULONG* granularity);
NTSTATUS NTAPI NtResetWriteWatch(HANDLE process, PVOID base, SIZE_T size);
#ifdef __cplusplus
}
#endif
#endif

#endif /* WRITEWATCH_WIN32_H */
