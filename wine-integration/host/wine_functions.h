// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Wine's own functions, callable by ours whatever convention they have: members hold System V
// functions, either Wine's or, in a Wine that uses the Microsoft ABI, converters
// (entries.cpp).
#pragma once

#include "wine-integration/host/calling_convention.h"
#include "wine-integration/host/nt.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <sys/types.h>

namespace writewatch::wine {

using GetWriteWatch = NTSTATUS(HANDLE, ULONG, void*, SIZE_T, void**, ULONG_PTR*, ULONG*);
using ResetWriteWatch = NTSTATUS(HANDLE, void*, SIZE_T);
using AllocateVirtualMemory = NTSTATUS(HANDLE, void**, ULONG_PTR, SIZE_T*, ULONG, ULONG);
using AllocateVirtualMemoryEx = NTSTATUS(HANDLE, void**, SIZE_T*, ULONG, ULONG, void*, ULONG);
using FreeVirtualMemory = NTSTATUS(HANDLE, void**, SIZE_T*, ULONG);
using ProtectVirtualMemory = NTSTATUS(HANDLE, void**, SIZE_T*, ULONG, ULONG*);
using SetInformationVirtualMemory = NTSTATUS(HANDLE, ULONG, ULONG_PTR, const MemoryRange*, void*,
                                             ULONG);
using CompareObjects = NTSTATUS(HANDLE, HANDLE);
using QueryObject = NTSTATUS(HANDLE, ULONG, void*, ULONG, ULONG*);
using QueryInformationProcess = NTSTATUS(HANDLE, ULONG, void*, ULONG, ULONG*);
using DuplicateObject = NTSTATUS(HANDLE, HANDLE, HANDLE, HANDLE*, ULONG, ULONG, ULONG);
using Close = NTSTATUS(HANDLE);
using Mmap = void*(void*, std::size_t, int, int, int, off_t);
using Munmap = int(void*, std::size_t);

struct WineFunctions {
    GetWriteWatch* get_write_watch = nullptr;
    ResetWriteWatch* reset_write_watch = nullptr;
    AllocateVirtualMemory* allocate_virtual_memory = nullptr;
    AllocateVirtualMemoryEx* allocate_virtual_memory_ex = nullptr;
    FreeVirtualMemory* free_virtual_memory = nullptr;
    ProtectVirtualMemory* protect_virtual_memory = nullptr;
    SetInformationVirtualMemory* set_information_virtual_memory = nullptr;
    CompareObjects* compare_objects = nullptr;
    QueryObject* query_object = nullptr;
    QueryInformationProcess* query_information_process = nullptr;
    DuplicateObject* duplicate_object = nullptr;
    Close* close = nullptr;
    Mmap* mmap = nullptr;
    Munmap* munmap = nullptr;
};

// ntdll.so's exported functions that the hooks replace or use, in the order of `exports`.
enum class Export : std::uint8_t {
    get_write_watch,
    reset_write_watch,
    allocate_virtual_memory,
    allocate_virtual_memory_ex,
    free_virtual_memory,
    protect_virtual_memory,
    set_information_virtual_memory,
    // Used, not replaced:
    compare_objects,
    query_object,
    query_information_process,
    duplicate_object,
    close,
    count
};
inline constexpr std::size_t export_count = static_cast<std::size_t>(Export::count);
inline constexpr auto hooked_export_count = static_cast<std::size_t>(Export::compare_objects);

inline constexpr std::array<const char*, export_count> export_names{
    "NtGetWriteWatch",
    "NtResetWriteWatch",
    "NtAllocateVirtualMemory",
    "NtAllocateVirtualMemoryEx",
    "NtFreeVirtualMemory",
    "NtProtectVirtualMemory",
    "NtSetInformationVirtualMemory",
    "NtCompareObjects",
    "NtQueryObject",
    "NtQueryInformationProcess",
    "NtDuplicateObject",
    "NtClose",
};

using ExportAddresses = std::array<std::uintptr_t, export_count>;

// Fills all members but mmap and munmap.
WineFunctions make_wine_functions(const ExportAddresses& addresses,
                                  CallingConvention convention) noexcept;

// What a table slot gets: the hook itself, or an entry for the Microsoft ABI (entries.cpp).
std::uintptr_t hook_for(Export function, CallingConvention convention) noexcept;

} // namespace writewatch::wine
