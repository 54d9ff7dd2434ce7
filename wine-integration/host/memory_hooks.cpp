// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The system calls that begin, end and latch a watch. Allocations and releases are looked at only
// when they name the current process by its pseudo handle: Wine runs the others as an APC in the
// target, straight in its own functions, and what those do to our regions shows at mmap and munmap
// (mapping_hooks.cpp).
//
// No lock is held across Wine's functions. What orders us against other threads is Wine's own lock,
// seen through the addresses it gives out: a region is dropped by its id (never by address alone),
// so that a late release cannot hit the next owner of the addresses. docs/wine.md argues it case by
// case.
#include "shim/sys/log.h"
#include "shim/sys/signals.h"
#include "shim/win32/program_memory.h"
#include "shim/win32/status.h"
#include "wine-integration/host/hooks.h"
#include "wine-integration/host/state.h"

namespace writewatch::wine {

namespace {

[[gnu::noinline]] bool watch(PageRange range, ULONG protect) noexcept
{
    // Reserved only or committed: private anonymous memory that nothing has touched yet. A region
    // that is still there belongs to memory that Wine no longer had.
    const auto watched = host->watches.watch(
        {.range = range, .mode = backend::Mode::on_presence, .contents = backend::Contents::empty},
        core::OnOverlap::replace, protect);
    if (!watched)
        log::warn("wine", "cannot watch an allocation: {}", describe(watched.error()));
    return watched.has_value();
}

[[gnu::noinline]] void latch(PageRange range) noexcept
{
    // The pages are reported all the same, unless a decommit comes before the next reset.
    if (const auto latched = host->watches.latch(range); !latched)
        log::error("wine", "a protection change did not latch: {}", describe(latched.error()));
}

// Gives memory back that cannot be watched. Nobody else knows the address yet.
void take_back(void* base, SIZE_T size, ULONG type)
{
    ULONG how = MEM_RELEASE;
    if ((type & MEM_REPLACE_PLACEHOLDER) != 0)
        how |= mem_preserve_placeholder;
    else
        size = 0; // all of it
    (void)host->wine.free_virtual_memory(current_process(), &base, &size, how);
}

// `call(base, size, type)` is Wine's function.
template<typename Call>
NTSTATUS allocate(void** base, SIZE_T* size, ULONG type, ULONG protect, Call call)
{
    const bool watched = (type & MEM_WRITE_WATCH) != 0;
    // Wine 8.0 does not mind (facts: Windows' answers in tests/conformance).
    if (watched && ((type & MEM_RESERVE) == 0 || (type & MEM_LARGE_PAGES) != 0))
        return win32::status_invalid_parameter;

    void* local_base = win32::read_from_program(base);
    SIZE_T local_size = win32::read_from_program(size);
    if ((type & MEM_RESERVE) == 0 && local_base != nullptr) {
        // A commit or MEM_RESET: registration and state stay.
        const NTSTATUS status = call(base, size, type);
        if ((type & MEM_RESET) != 0)
            host->watches.contents_dropped(win32::touched_pages(local_base, local_size));
        return status;
    }
    if (watched) {
        win32::probe_for_write(base);
        win32::probe_for_write(size);
    }

    // Without the flag Wine does not track: the memory is writable, and ours.
    out_of_mappings = false;
    const NTSTATUS status = call(&local_base, &local_size, type & ~ULONG{MEM_WRITE_WATCH});
    if (status != win32::status_success)
        return watched && out_of_mappings ? win32::status_no_memory : status;

    const PageRange range = win32::touched_pages(local_base, local_size);
    if (watched) {
        if (!sys::uninterrupted([&] { return watch(range, protect); })) {
            take_back(local_base, local_size, type);
            return win32::status_no_memory;
        }
    } else if (is_watched(range)) {
        // Left from memory that was released behind the table (mapping_hooks.cpp).
        (void)sys::uninterrupted([&] { return host->watches.forget(range); });
    }
    win32::write_to_program(base, local_base);
    win32::write_to_program(size, local_size);
    return win32::status_success;
}

} // namespace

NTSTATUS hook_allocate_virtual_memory(HANDLE process, void** base, ULONG_PTR zero_bits,
                                      SIZE_T* size, ULONG type, ULONG protect)
{
    if (!is_current_process(process))
        return host->wine.allocate_virtual_memory(process, base, zero_bits, size, type, protect);
    return allocate(base, size, type, protect, [&](void** b, SIZE_T* s, ULONG t) {
        return host->wine.allocate_virtual_memory(process, b, zero_bits, s, t, protect);
    });
}

NTSTATUS hook_allocate_virtual_memory_ex(HANDLE process, void** base, SIZE_T* size, ULONG type,
                                         ULONG protect, void* parameters, ULONG count)
{
    if (!is_current_process(process))
        return host->wine.allocate_virtual_memory_ex(process, base, size, type, protect, parameters,
                                                     count);
    return allocate(base, size, type, protect, [&](void** b, SIZE_T* s, ULONG t) {
        return host->wine.allocate_virtual_memory_ex(process, b, s, t, protect, parameters, count);
    });
}

NTSTATUS hook_free_virtual_memory(HANDLE process, void** base, SIZE_T* size, ULONG type)
{
    if (!is_current_process(process))
        return host->wine.free_virtual_memory(process, base, size, type);

    void* local_base = win32::read_from_program(base);
    SIZE_T local_size = win32::read_from_program(size);
    const auto region = host->watches.find(reinterpret_cast<std::uintptr_t>(local_base));
    if (!region)
        return host->wine.free_virtual_memory(process, base, size, type);
    win32::probe_for_write(base);
    win32::probe_for_write(size);

    const NTSTATUS status = host->wine.free_virtual_memory(process, &local_base, &local_size, type);
    if (status != win32::status_success)
        return status;
    // A decommit was seen at mmap. A release may have been as well (munmap), or left the addresses
    // in Wine's reserved area, or as a placeholder.
    if ((type & MEM_RELEASE) != 0)
        sys::uninterrupted([&] {
            host->watches.forget(*region, win32::touched_pages(local_base, local_size));
            return true;
        });
    win32::write_to_program(base, local_base);
    win32::write_to_program(size, local_size);
    return win32::status_success;
}

NTSTATUS hook_protect_virtual_memory(HANDLE process, void** base, SIZE_T* size, ULONG protect,
                                     ULONG* old_protect)
{
    if (old_protect == nullptr ||
        (!is_current_process(process) &&
         host->wine.compare_objects(process, current_process()) != win32::status_success))
        return host->wine.protect_virtual_memory(process, base, size, protect, old_protect);

    void* local_base = win32::read_from_program(base);
    SIZE_T local_size = win32::read_from_program(size);
    const PageRange range = win32::touched_pages(local_base, local_size);
    // A change over the edge of an allocation fails, and must not latch its neighbour's pages.
    const auto region = host->watches.find(range.start);
    if (!region || !region->range.contains(range))
        return host->wine.protect_virtual_memory(process, base, size, protect, old_protect);
    win32::probe_for_write(base);
    win32::probe_for_write(size);
    win32::probe_for_write(old_protect);

    ULONG local_old_protect = 0;
    const NTSTATUS status = host->wine.protect_virtual_memory(process, &local_base, &local_size,
                                                              protect, &local_old_protect);
    if (status != win32::status_success)
        return status;
    // After the change, since a change that Wine refuses must latch nothing, and mprotect keeps
    // what is written. A decommit by another thread in between is one that did not wait for this
    // call.
    sys::uninterrupted([&] {
        latch(win32::touched_pages(local_base, local_size));
        return true;
    });
    win32::write_to_program(base, local_base);
    win32::write_to_program(size, local_size);
    win32::write_to_program(old_protect, local_old_protect);
    return win32::status_success;
}

} // namespace writewatch::wine
