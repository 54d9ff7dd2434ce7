// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ntdll.so's own calls of mmap and munmap: here every change of a mapping passes, whoever asked for
// it (a decommit is a mapping over the range, and drops the kernel's registration with it).
//
// Wine holds its lock on the address space around these calls and blocks the signals that suspend a
// thread. Nothing here calls back into Wine, and the core's lock is taken by no one who waits for
// Wine's.
#include "shim/sys/log.h"
#include "shim/sys/signals.h"
#include "shim/win32/program_memory.h"
#include "wine-integration/host/hooks.h"
#include "wine-integration/host/state.h"

#include <cerrno>
#include <sys/mman.h>

namespace writewatch::wine {

constinit thread_local bool out_of_mappings = false;

namespace {

// Whether the addresses still belong to the allocation that was watched there.
bool allocation_continues(int protection, int flags)
{
    // Mapped where nothing was mapped: whatever was watched there is gone.
    if ((flags & MAP_FIXED) == 0)
        return false;
    // A file, or shared memory: a view of a section, not VirtualAlloc's memory.
    if ((flags & (MAP_PRIVATE | MAP_ANONYMOUS)) != (MAP_PRIVATE | MAP_ANONYMOUS))
        return false;
    // What Wine puts over memory that goes back into one of its reserved areas; a decommit is
    // accounted (Wine 8.0 and 10.0, dlls/ntdll/unix/virtual.c: unmap_area, decommit_pages).
    return protection != PROT_NONE || (flags & MAP_NORESERVE) == 0;
}

Result<void> forget(PageRange range)
{
    // Fails only for want of memory to split a region: then rather the whole of it.
    if (auto ok = host->watches.forget(range))
        return ok;
    return host->watches.for_each_watched(
        range, [](PageRange, const core::Region& region) -> Result<void> {
            host->watches.forget(region, region.range);
            return {};
        });
}

// Fresh memory is in place of watched memory, and Wine holds its lock: nobody can write to it yet.
[[gnu::noinline]] Result<void> track_again(PageRange range, int protection) noexcept
{
    auto tracked = host->watches.memory_replaced(range, protection);
    if (tracked)
        return tracked;
    // Pages that cannot be tracked must not read as clean: without a watch, asking fails.
    log::error("wine", "a watch is lost: {}", describe(tracked.error()));
    return forget(range);
}

} // namespace

void* hook_mmap(void* address, std::size_t length, int protection, int flags, int fd, off_t offset)
{
    void* result = host->wine.mmap(address, length, protection, flags, fd, offset);
    if (result == MAP_FAILED) {
        out_of_mappings = errno == ENOMEM;
        return result;
    }
    const PageRange range = win32::touched_pages(result, length);
    if (is_watched(range)) [[unlikely]]
        (void)sys::uninterrupted([&] {
            return allocation_continues(protection, flags) ? track_again(range, protection)
                                                           : forget(range);
        });
    return result;
}

int hook_munmap(void* address, std::size_t length)
{
    const int result = host->wine.munmap(address, length);
    const PageRange range = win32::touched_pages(address, length);
    if (result == 0 && is_watched(range)) [[unlikely]]
        (void)sys::uninterrupted([&] { return forget(range); });
    return result;
}

} // namespace writewatch::wine
