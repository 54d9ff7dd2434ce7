// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Stands in for Wine's ntdll.so where the real one would be in the way: the shape that the preload
// looks for (exported functions, a constant table of them, calls to mmap and munmap), with just
// enough behind it to allocate, decommit, protect and release memory. Variants by macro:
//   FAKE_SYSTEM_V            functions use the System V ABI (Wine 10.0); otherwise Microsoft's
//   (8.0) FAKE_AMBIGUOUS_TABLE     one function is in the table twice FAKE_NO_TABLE there is none
//   FAKE_MISSING_FUNCTION    NtSetInformationVirtualMemory is not exported
//   FAKE_UNKNOWN_CONVENTION  NtGetWriteWatch answers as neither convention would
//   FAKE_NOT_WINE            no __wine_main
//   FAKE_NO_IMPORTS          does not call mmap or munmap
//   FAKE_EXECUTABLE_TABLE    the table lies in executable memory
#include <cstddef>
#include <cstdint>
#include <sys/mman.h>

#ifdef FAKE_SYSTEM_V
#define NTAPI
#else
#define NTAPI __attribute__((ms_abi))
#endif
#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using Status = std::int32_t;
constexpr Status success = 0;
constexpr Status access_violation = static_cast<Status>(0xC0000005);
constexpr Status invalid_parameter = static_cast<Status>(0xC000000D);

constexpr unsigned mem_decommit = 0x4000;
constexpr unsigned mem_release = 0x8000;

unsigned allocation_type_seen = 0;

#ifdef FAKE_NO_IMPORTS
void* map(void*, std::size_t, int)
{
    return MAP_FAILED;
}
bool unmap(void*, std::size_t)
{
    return false;
}
#else
void* map(void* address, std::size_t size, int flags)
{
    return mmap(address, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}
bool unmap(void* address, std::size_t size)
{
    return munmap(address, size) == 0;
}
#endif

} // namespace

// What the fake's own functions saw, for the test program.
EXPORT unsigned fake_allocation_type()
{
    return allocation_type_seen;
}

EXPORT NTAPI Status NtGetWriteWatch(void*, unsigned flags, void* base, std::size_t size,
                                    void** addresses, std::size_t* count, unsigned* granularity)
{
#ifdef FAKE_UNKNOWN_CONVENTION
    (void)flags, (void)base, (void)size, (void)addresses, (void)count, (void)granularity;
    return success;
#else
    size += reinterpret_cast<std::uintptr_t>(base) & 0xfff;
    if (count == nullptr || granularity == nullptr)
        return access_violation;
    if (*count == 0 || size == 0 || (flags & ~1u) != 0)
        return invalid_parameter;
    if (addresses == nullptr)
        return access_violation;
    return invalid_parameter; // watches nothing itself
#endif
}

EXPORT NTAPI Status NtResetWriteWatch(void*, void*, std::size_t)
{
    return invalid_parameter;
}

EXPORT NTAPI Status NtAllocateVirtualMemory(void*, void** base, std::uintptr_t, std::size_t* size,
                                            unsigned type, unsigned)
{
    allocation_type_seen = type;
    *size = (*size + 0xfff) & ~std::size_t{0xfff};
    void* memory = map(nullptr, *size, 0);
    if (memory == MAP_FAILED)
        return invalid_parameter;
    *base = memory;
    return success;
}

EXPORT NTAPI Status NtAllocateVirtualMemoryEx(void* process, void** base, std::size_t* size,
                                              unsigned type, unsigned protect, void*, unsigned)
{
    return NtAllocateVirtualMemory(process, base, 0, size, type, protect);
}

EXPORT NTAPI Status NtFreeVirtualMemory(void*, void** base, std::size_t* size, unsigned type)
{
    if (type == mem_release)
        return unmap(*base, *size) ? success : invalid_parameter;
    if (type == mem_decommit)
        return map(*base, *size, MAP_FIXED) != MAP_FAILED ? success : invalid_parameter;
    return invalid_parameter;
}

EXPORT NTAPI Status NtProtectVirtualMemory(void*, void** base, std::size_t* size, unsigned,
                                           unsigned* old_protect)
{
    *old_protect = 4; // PAGE_READWRITE
    return mprotect(*base, *size, PROT_READ | PROT_WRITE) == 0 ? success : invalid_parameter;
}

#ifndef FAKE_MISSING_FUNCTION
EXPORT
#endif
NTAPI Status NtSetInformationVirtualMemory(void*, unsigned, std::size_t, const void*, void*,
                                           unsigned)
{
    return invalid_parameter;
}

EXPORT NTAPI Status NtCompareObjects(void*, void*)
{
    return invalid_parameter;
}

EXPORT NTAPI Status NtQueryObject(void*, unsigned, void*, unsigned, unsigned*)
{
    return invalid_parameter;
}

EXPORT NTAPI Status NtQueryInformationProcess(void*, unsigned, void*, unsigned, unsigned*)
{
    return invalid_parameter;
}

EXPORT NTAPI Status NtDuplicateObject(void*, void*, void*, void**, unsigned, unsigned, unsigned)
{
    return invalid_parameter;
}

EXPORT NTAPI Status NtClose(void*)
{
    return invalid_parameter;
}

#ifndef FAKE_NOT_WINE
EXPORT void __wine_main() {} // NOLINT(bugprone-reserved-identifier)
#endif

#ifdef FAKE_EXECUTABLE_TABLE
EXPORT const std::uintptr_t fake_table[];
__attribute__((constructor)) void make_table_executable()
{
    auto* const page = reinterpret_cast<char*>(reinterpret_cast<std::uintptr_t>(fake_table) &
                                               ~std::uintptr_t{0xfff});
    // Constructors run when ld.so has protected RELRO.
    (void)mprotect(page, 0x1000, PROT_READ | PROT_EXEC);
}
#endif

#ifndef FAKE_NO_TABLE
// Constant, and full of addresses: the compiler puts it in .data.rel.ro, the linker in
// PT_GNU_RELRO.
EXPORT const std::uintptr_t fake_table[];
const std::uintptr_t fake_table[] = {
    reinterpret_cast<std::uintptr_t>(&NtAllocateVirtualMemory),
    reinterpret_cast<std::uintptr_t>(&NtAllocateVirtualMemoryEx),
    reinterpret_cast<std::uintptr_t>(&NtFreeVirtualMemory),
    reinterpret_cast<std::uintptr_t>(&NtGetWriteWatch),
    reinterpret_cast<std::uintptr_t>(&NtProtectVirtualMemory),
    reinterpret_cast<std::uintptr_t>(&NtResetWriteWatch),
    reinterpret_cast<std::uintptr_t>(&NtSetInformationVirtualMemory),
#ifdef FAKE_AMBIGUOUS_TABLE
    reinterpret_cast<std::uintptr_t>(&NtGetWriteWatch),
#endif
};
#endif
