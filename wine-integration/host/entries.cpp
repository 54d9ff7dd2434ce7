// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Table entries for a Wine whose system calls use the Microsoft ABI, and the way back into it.
//
// An entry does nothing but call a System V function. g++ 12 miscompiles thread-local access inside
// an ms_abi function: the call to __tls_get_addr destroys rdi and rsi, which this ABI preserves (an
// empty result and no error was one effect). errno is thread-local, so is half of libc. Hence also
// -ftls-model=initial-exec for the whole preload, and tests/integration/preload/abi-guard, which
// reads the machine code.
#include "wine-integration/host/hooks.h"
#include "wine-integration/host/wine_functions.h"

#define MS_ABI __attribute__((ms_abi))

namespace writewatch::wine {

namespace {

// --- Wine calls us ---

MS_ABI NTSTATUS ms_get_write_watch(HANDLE process, ULONG flags, void* base, SIZE_T size,
                                   void** addresses, ULONG_PTR* count, ULONG* granularity)
{
    return hook_get_write_watch(process, flags, base, size, addresses, count, granularity);
}

MS_ABI NTSTATUS ms_reset_write_watch(HANDLE process, void* base, SIZE_T size)
{
    return hook_reset_write_watch(process, base, size);
}

MS_ABI NTSTATUS ms_allocate_virtual_memory(HANDLE process, void** base, ULONG_PTR zero_bits,
                                           SIZE_T* size, ULONG type, ULONG protect)
{
    return hook_allocate_virtual_memory(process, base, zero_bits, size, type, protect);
}

MS_ABI NTSTATUS ms_allocate_virtual_memory_ex(HANDLE process, void** base, SIZE_T* size, ULONG type,
                                              ULONG protect, void* parameters, ULONG count)
{
    return hook_allocate_virtual_memory_ex(process, base, size, type, protect, parameters, count);
}

MS_ABI NTSTATUS ms_free_virtual_memory(HANDLE process, void** base, SIZE_T* size, ULONG type)
{
    return hook_free_virtual_memory(process, base, size, type);
}

MS_ABI NTSTATUS ms_protect_virtual_memory(HANDLE process, void** base, SIZE_T* size, ULONG protect,
                                          ULONG* old_protect)
{
    return hook_protect_virtual_memory(process, base, size, protect, old_protect);
}

MS_ABI NTSTATUS ms_set_information_virtual_memory(HANDLE process, ULONG information_class,
                                                  ULONG_PTR count, const MemoryRange* ranges,
                                                  void* information, ULONG size)
{
    return hook_set_information_virtual_memory(process, information_class, count, ranges,
                                               information, size);
}

// --- we call Wine ---

struct {
    MS_ABI NTSTATUS (*get_write_watch)(HANDLE, ULONG, void*, SIZE_T, void**, ULONG_PTR*, ULONG*);
    MS_ABI NTSTATUS (*reset_write_watch)(HANDLE, void*, SIZE_T);
    MS_ABI NTSTATUS (*allocate_virtual_memory)(HANDLE, void**, ULONG_PTR, SIZE_T*, ULONG, ULONG);
    MS_ABI NTSTATUS (*allocate_virtual_memory_ex)(HANDLE, void**, SIZE_T*, ULONG, ULONG, void*,
                                                  ULONG);
    MS_ABI NTSTATUS (*free_virtual_memory)(HANDLE, void**, SIZE_T*, ULONG);
    MS_ABI NTSTATUS (*protect_virtual_memory)(HANDLE, void**, SIZE_T*, ULONG, ULONG*);
    MS_ABI NTSTATUS (*set_information_virtual_memory)(HANDLE, ULONG, ULONG_PTR, const MemoryRange*,
                                                      void*, ULONG);
    MS_ABI NTSTATUS (*compare_objects)(HANDLE, HANDLE);
    MS_ABI NTSTATUS (*query_object)(HANDLE, ULONG, void*, ULONG, ULONG*);
    MS_ABI NTSTATUS (*query_information_process)(HANDLE, ULONG, void*, ULONG, ULONG*);
    MS_ABI NTSTATUS (*duplicate_object)(HANDLE, HANDLE, HANDLE, HANDLE*, ULONG, ULONG, ULONG);
    MS_ABI NTSTATUS (*close)(HANDLE);
} ms_wine;

NTSTATUS call_get_write_watch(HANDLE process, ULONG flags, void* base, SIZE_T size,
                              void** addresses, ULONG_PTR* count, ULONG* granularity)
{
    return ms_wine.get_write_watch(process, flags, base, size, addresses, count, granularity);
}

NTSTATUS call_reset_write_watch(HANDLE process, void* base, SIZE_T size)
{
    return ms_wine.reset_write_watch(process, base, size);
}

NTSTATUS call_allocate_virtual_memory(HANDLE process, void** base, ULONG_PTR zero_bits,
                                      SIZE_T* size, ULONG type, ULONG protect)
{
    return ms_wine.allocate_virtual_memory(process, base, zero_bits, size, type, protect);
}

NTSTATUS call_allocate_virtual_memory_ex(HANDLE process, void** base, SIZE_T* size, ULONG type,
                                         ULONG protect, void* parameters, ULONG count)
{
    return ms_wine.allocate_virtual_memory_ex(process, base, size, type, protect, parameters,
                                              count);
}

NTSTATUS call_free_virtual_memory(HANDLE process, void** base, SIZE_T* size, ULONG type)
{
    return ms_wine.free_virtual_memory(process, base, size, type);
}

NTSTATUS call_protect_virtual_memory(HANDLE process, void** base, SIZE_T* size, ULONG protect,
                                     ULONG* old_protect)
{
    return ms_wine.protect_virtual_memory(process, base, size, protect, old_protect);
}

NTSTATUS call_set_information_virtual_memory(HANDLE process, ULONG information_class,
                                             ULONG_PTR count, const MemoryRange* ranges,
                                             void* information, ULONG size)
{
    return ms_wine.set_information_virtual_memory(process, information_class, count, ranges,
                                                  information, size);
}

NTSTATUS call_compare_objects(HANDLE first, HANDLE second)
{
    return ms_wine.compare_objects(first, second);
}

NTSTATUS call_query_object(HANDLE object, ULONG what, void* out, ULONG size, ULONG* length)
{
    return ms_wine.query_object(object, what, out, size, length);
}

NTSTATUS call_query_information_process(HANDLE process, ULONG what, void* out, ULONG size,
                                        ULONG* length)
{
    return ms_wine.query_information_process(process, what, out, size, length);
}

NTSTATUS call_duplicate_object(HANDLE from_process, HANDLE from, HANDLE to_process, HANDLE* to,
                               ULONG access, ULONG attributes, ULONG options)
{
    return ms_wine.duplicate_object(from_process, from, to_process, to, access, attributes,
                                    options);
}

NTSTATUS call_close(HANDLE handle)
{
    return ms_wine.close(handle);
}

template<typename Function>
void set(Function*& pointer, const ExportAddresses& addresses, Export function)
{
    pointer = reinterpret_cast<Function*>(addresses[static_cast<std::size_t>(function)]);
}

template<typename Functions> void set_all(Functions& to, const ExportAddresses& from)
{
    set(to.get_write_watch, from, Export::get_write_watch);
    set(to.reset_write_watch, from, Export::reset_write_watch);
    set(to.allocate_virtual_memory, from, Export::allocate_virtual_memory);
    set(to.allocate_virtual_memory_ex, from, Export::allocate_virtual_memory_ex);
    set(to.free_virtual_memory, from, Export::free_virtual_memory);
    set(to.protect_virtual_memory, from, Export::protect_virtual_memory);
    set(to.set_information_virtual_memory, from, Export::set_information_virtual_memory);
    set(to.compare_objects, from, Export::compare_objects);
    set(to.query_object, from, Export::query_object);
    set(to.query_information_process, from, Export::query_information_process);
    set(to.duplicate_object, from, Export::duplicate_object);
    set(to.close, from, Export::close);
}

template<typename Function> std::uintptr_t address(Function* function)
{
    return reinterpret_cast<std::uintptr_t>(function);
}

} // namespace

WineFunctions make_wine_functions(const ExportAddresses& addresses,
                                  CallingConvention convention) noexcept
{
    WineFunctions functions;
    if (convention == CallingConvention::system_v) {
        set_all(functions, addresses);
        return functions;
    }
    set_all(ms_wine, addresses);
    functions.get_write_watch = call_get_write_watch;
    functions.reset_write_watch = call_reset_write_watch;
    functions.allocate_virtual_memory = call_allocate_virtual_memory;
    functions.allocate_virtual_memory_ex = call_allocate_virtual_memory_ex;
    functions.free_virtual_memory = call_free_virtual_memory;
    functions.protect_virtual_memory = call_protect_virtual_memory;
    functions.set_information_virtual_memory = call_set_information_virtual_memory;
    functions.compare_objects = call_compare_objects;
    functions.query_object = call_query_object;
    functions.query_information_process = call_query_information_process;
    functions.duplicate_object = call_duplicate_object;
    functions.close = call_close;
    return functions;
}

std::uintptr_t hook_for(Export function, CallingConvention convention) noexcept
{
    const bool microsoft = convention == CallingConvention::microsoft;
    switch (function) {
    case Export::get_write_watch:
        return microsoft ? address(ms_get_write_watch) : address(hook_get_write_watch);
    case Export::reset_write_watch:
        return microsoft ? address(ms_reset_write_watch) : address(hook_reset_write_watch);
    case Export::allocate_virtual_memory:
        return microsoft ? address(ms_allocate_virtual_memory)
                         : address(hook_allocate_virtual_memory);
    case Export::allocate_virtual_memory_ex:
        return microsoft ? address(ms_allocate_virtual_memory_ex)
                         : address(hook_allocate_virtual_memory_ex);
    case Export::free_virtual_memory:
        return microsoft ? address(ms_free_virtual_memory) : address(hook_free_virtual_memory);
    case Export::protect_virtual_memory:
        return microsoft ? address(ms_protect_virtual_memory)
                         : address(hook_protect_virtual_memory);
    case Export::set_information_virtual_memory:
        return microsoft ? address(ms_set_information_virtual_memory)
                         : address(hook_set_information_virtual_memory);
    case Export::compare_objects:
    case Export::query_object:
    case Export::query_information_process:
    case Export::duplicate_object:
    case Export::close:
    case Export::count:
        break;
    }
    return 0;
}

} // namespace writewatch::wine
