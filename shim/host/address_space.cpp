// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/host/address_space.h"

#include "shim/sys/log.h"
#include "shim/sys/memory.h"
#include "shim/sys/signals.h"
#include "shim/win32/allocation.h"
#include "shim/win32/status.h"
#include "shim/win32/write_watch.h"

#include <algorithm>
#include <cerrno>
#include <sys/mman.h>

namespace writewatch::host {

namespace {

using namespace win32;

constexpr std::uintptr_t allocation_granularity = 0x10000;

void* to_pointer(std::uintptr_t address)
{
    return reinterpret_cast<void*>(address); // NOLINT(performance-no-int-to-ptr)
}

std::uintptr_t to_address(const void* pointer)
{
    return reinterpret_cast<std::uintptr_t>(pointer);
}

std::uintptr_t granularity_floor(std::uintptr_t address)
{
    return address & ~(allocation_granularity - 1);
}

} // namespace

NTSTATUS AddressSpace::allocate(void*& base, SIZE_T& size, ULONG type, ULONG protect)
{
    if (size == 0)
        return status_invalid_parameter;
    if (const NTSTATUS status = check_allocation_type(type); status != status_success)
        return status;
    const auto protection = to_protection(protect);
    if (!protection)
        return (protect & PAGE_GUARD) != 0 ? status_not_supported : status_invalid_page_protection;
    // Nothing of these exists without Windows: docs/deviations.md.
    if ((type &
         (MEM_PHYSICAL | MEM_LARGE_PAGES | MEM_RESERVE_PLACEHOLDER | MEM_REPLACE_PLACEHOLDER)) != 0)
        return status_not_supported;

    const sys::ForkPageLock lock(lock_);
    if ((type & (MEM_RESET | MEM_RESET_UNDO)) != 0)
        return type == MEM_RESET ? discard(base, size) : status_not_supported;
    // MEM_COMMIT without a base reserves as well.
    if ((type & MEM_RESERVE) != 0 || base == nullptr)
        return reserve(base, size, type, protect, *protection);
    return commit(base, size, protect, *protection);
}

NTSTATUS AddressSpace::reserve(void*& base, SIZE_T& size, ULONG type, ULONG protect, int protection)
{
    const bool committed = (type & MEM_COMMIT) != 0;
    const bool watched = (type & MEM_WRITE_WATCH) != 0;
    const int initial = committed ? protection : PROT_NONE;

    Result<PageRange> mapped;
    if (base == nullptr) {
        if (size > address_space_end)
            return status_no_memory;
        mapped = map_free(page_ceil(size), initial);
    } else {
        const auto wanted = pages_of(base, size);
        if (!wanted || wanted->start < allocation_granularity)
            return status_invalid_parameter; // Windows keeps the first 64 KiB free
        mapped = sys::map_anonymous_at({granularity_floor(wanted->start), wanted->end}, initial);
    }
    if (!mapped)
        return from_errno(mapped.error().code);

    if (watched) {
        if (const auto ok = watch(*mapped, protect, initial); !ok) {
            log::warn("host", "MEM_WRITE_WATCH of {} bytes failed: {}", mapped->bytes(),
                      describe(ok.error()));
            (void)sys::unmap(*mapped);
            return from_errno(ok.error().code);
        }
    }
    try {
        Allocation allocation{*mapped, protect, watched, {}};
        allocation.runs.emplace(mapped->start, Pages{committed, committed ? protect : 0});
        allocations_.emplace(mapped->start, std::move(allocation));
    } catch (...) {
        if (watched)
            (void)watches_.forget(*mapped);
        (void)sys::unmap(*mapped);
        throw;
    }
    base = to_pointer(mapped->start);
    size = mapped->bytes();
    return status_success;
}

// mmap knows pages only: maps 60 KiB too much and cuts the ends off.
Result<PageRange> AddressSpace::map_free(std::size_t bytes, int protection) const
{
    const auto mapped = sys::map_anonymous(bytes + allocation_granularity - page_size, protection);
    if (!mapped)
        return mapped;
    const std::uintptr_t start =
        granularity_floor(mapped->start + allocation_granularity - page_size);
    const PageRange range{start, start + bytes};
    for (const PageRange end :
         {PageRange{mapped->start, range.start}, PageRange{range.end, mapped->end}}) {
        if (end.empty())
            continue;
        if (auto ok = sys::unmap(end); !ok) {
            (void)sys::unmap(*mapped);
            return tl::unexpected(ok.error());
        }
    }
    return range;
}

Result<void> AddressSpace::watch(PageRange range, ULONG protect, int protection)
{
    return watches_.watch({.range = range,
                           .mode = backend::Mode::on_presence,
                           .contents = backend::Contents::empty,
                           .protection = protection},
                          core::OnOverlap::replace, protect);
}

Result<void> AddressSpace::apply_protection(const Allocation& allocation, PageRange range,
                                            int protection)
{
    return allocation.watched ? watches_.backend().protect(range, protection)
                              : sys::protect(range, protection);
}

Result<void> AddressSpace::set_protection(const Allocation& allocation, PageRange range,
                                          int protection)
{
    auto ok = apply_protection(allocation, range, protection);
    if (!ok)
        restore_protection(allocation, range);
    return ok;
}

// A change of protection over several of the kernel's mappings can fail half-way. Puts back what
// the records say; that needs no new mapping.
void AddressSpace::restore_protection(const Allocation& allocation, PageRange range)
{
    for (auto run = std::prev(allocation.runs.upper_bound(range.start));
         run != allocation.runs.end() && run->first < range.end; ++run) {
        const auto next = std::next(run);
        const std::uintptr_t end =
            next == allocation.runs.end() ? allocation.range.end : next->first;
        const int protection = run->second.committed
                                   ? to_protection(run->second.protect).value_or(PROT_NONE)
                                   : PROT_NONE;
        (void)apply_protection(allocation, range.intersect({run->first, end}), protection);
    }
}

NTSTATUS AddressSpace::commit(void*& base, SIZE_T& size, ULONG protect, int protection)
{
    const auto range = pages_of(base, size);
    if (!range)
        return status_invalid_parameter;
    Allocation* const allocation = find(range->start);
    if (allocation == nullptr || !allocation->range.contains(*range))
        return status_conflicting_addresses;
    if (const auto ok = set_protection(*allocation, *range, protection); !ok)
        return from_errno(ok.error().code);
    set_pages(*allocation, *range, {true, protect});
    base = to_pointer(range->start);
    size = range->bytes();
    return status_success;
}

// MEM_RESET: the contents are of no interest any more; the kernel may drop them when it needs
// memory (madvise(2), MADV_FREE). Until then a page keeps its written state, a dropped one is
// clean, and a later write counts in both cases.
NTSTATUS AddressSpace::discard(void*& base, SIZE_T& size)
{
    const auto range = pages_of(base, size);
    if (!range)
        return status_invalid_parameter;
    Allocation* const allocation = find(range->start);
    if (allocation == nullptr || !allocation->range.contains(*range))
        return status_conflicting_addresses;
    if (!all_committed(*allocation, *range))
        return status_not_committed;
    // Only whole pages inside: the bytes beside them are still wanted.
    const std::uintptr_t start = to_address(base);
    const PageRange inside{page_ceil(start), page_floor(start + size)};
    if (!inside.empty()) {
        if (const auto ok = sys::advise(inside, MADV_FREE); !ok)
            return from_errno(ok.error().code);
        if (allocation->watched)
            watches_.contents_dropped(inside);
    }
    base = to_pointer(range->start);
    size = range->bytes();
    return status_success;
}

NTSTATUS AddressSpace::free(void* base, SIZE_T size, ULONG type)
{
    const sys::ForkPageLock lock(lock_);
    if (type != MEM_RELEASE && type != MEM_DECOMMIT)
        return status_invalid_parameter;
    const std::uintptr_t address = to_address(base);
    Allocation* const allocation = find(page_floor(address));
    if (allocation == nullptr)
        return status_memory_not_allocated;

    if (size == 0) {
        // The whole allocation, whose base must be given.
        if (page_floor(address) != allocation->range.start)
            return status_free_vm_not_at_base;
        return type == MEM_RELEASE ? release(*allocation)
                                   : decommit(*allocation, allocation->range);
    }
    const auto range = pages_of(base, size);
    if (!range)
        return status_invalid_parameter;
    if (!allocation->range.contains(*range))
        return status_unable_to_free_vm;
    if (type == MEM_DECOMMIT)
        return decommit(*allocation, *range);
    // VirtualFree refuses any size with MEM_RELEASE; the rest of an allocation cannot stay behind.
    return status_invalid_parameter;
}

// Unmapped first: that can fail, at the kernel's limit of mappings, when one cannot be cut out of a
// larger one; the allocation then stays as it was, latched pages included. No other allocation can
// get the addresses meanwhile.
NTSTATUS AddressSpace::release(Allocation& allocation)
{
    const auto region = watches_.find(allocation.range.start);
    if (const auto ok = sys::unmap(allocation.range); !ok)
        return from_errno(ok.error().code);
    if (allocation.watched && region)
        watches_.forget(*region, region->range);
    allocations_.erase(allocation.range.start);
    return status_success;
}

// The mapping stays, and with it the registration for tracking: there is no moment in which a write
// could be missed.
NTSTATUS AddressSpace::decommit(Allocation& allocation, PageRange range)
{
    if (const auto ok = set_protection(allocation, range, PROT_NONE); !ok)
        return from_errno(ok.error().code);
    if (const auto ok = sys::advise(range, MADV_DONTNEED); !ok) {
        restore_protection(allocation, range);
        return from_errno(ok.error().code);
    }
    // The contents are gone, so there is no way back from here. A failure leaves the pages tracked
    // as they were: at worst one is reported that was written before.
    if (allocation.watched)
        (void)watches_.memory_replaced(range, PROT_NONE);
    set_pages(allocation, range, {});
    return status_success;
}

NTSTATUS AddressSpace::protect(void* base, SIZE_T size, ULONG protect, ULONG& old_protect)
{
    const auto range = pages_of(base, size);
    if (!range)
        return status_invalid_parameter;
    const auto protection = to_protection(protect);
    if (!protection)
        return (protect & PAGE_GUARD) != 0 ? status_not_supported : status_invalid_page_protection;

    const sys::ForkPageLock lock(lock_);
    Allocation* const allocation = find(range->start);
    if (allocation == nullptr || !allocation->range.contains(*range))
        return status_conflicting_addresses;
    if (!all_committed(*allocation, *range))
        return status_not_committed;
    const ULONG before = std::prev(allocation->runs.upper_bound(range->start))->second.protect;
    if (allocation->watched) {
        if (const auto ok = watches_.latch(*range); !ok)
            return from_errno(ok.error().code);
    }
    if (const auto ok = set_protection(*allocation, *range, *protection); !ok)
        return from_errno(ok.error().code);
    set_pages(*allocation, *range, {true, protect});
    old_protect = before;
    return status_success;
}

void AddressSpace::query(const void* address, MEMORY_BASIC_INFORMATION& info)
{
    const std::uintptr_t page = page_floor(to_address(address));
    const sys::ForkPageLock lock(lock_);
    info = {};
    info.BaseAddress = to_pointer(page);

    if (const Allocation* const allocation = find(page); allocation != nullptr) {
        const auto next = allocation->runs.upper_bound(page);
        const Pages& pages = std::prev(next)->second;
        const std::uintptr_t end =
            next == allocation->runs.end() ? allocation->range.end : next->first;
        info.AllocationBase = to_pointer(allocation->range.start);
        info.AllocationProtect = allocation->protect;
        info.RegionSize = end - page;
        info.State = pages.committed ? MEM_COMMIT : MEM_RESERVE;
        info.Protect = pages.protect;
        info.Type = MEM_PRIVATE;
        return;
    }
    const auto above = allocations_.upper_bound(page);
    const std::uintptr_t end = above == allocations_.end() ? address_space_end : above->first;
    info.RegionSize = end - page;
    info.State = MEM_FREE;
    info.Protect = PAGE_NOACCESS;
}

AddressSpace::Allocation* AddressSpace::find(std::uintptr_t address)
{
    auto above = allocations_.upper_bound(address);
    if (above == allocations_.begin())
        return nullptr;
    Allocation& allocation = std::prev(above)->second;
    return allocation.range.contains(address) ? &allocation : nullptr;
}

bool AddressSpace::all_committed(const Allocation& allocation, PageRange range)
{
    auto run = std::prev(allocation.runs.upper_bound(range.start));
    return std::all_of(run, allocation.runs.lower_bound(range.end),
                       [](const auto& entry) { return entry.second.committed; });
}

void AddressSpace::split_run(Allocation& allocation, std::uintptr_t address)
{
    if (address < allocation.range.end)
        allocation.runs.emplace(address, std::prev(allocation.runs.upper_bound(address))->second);
}

void AddressSpace::set_pages(Allocation& allocation, PageRange range, Pages pages)
{
    auto& runs = allocation.runs;
    split_run(allocation, range.end);
    split_run(allocation, range.start);
    auto first = runs.find(range.start);
    first->second = pages;
    runs.erase(std::next(first), runs.lower_bound(range.end));
    // Equal neighbours become one run again.
    if (const auto next = std::next(first); next != runs.end() && next->second == pages)
        runs.erase(next);
    if (first != runs.begin() && std::prev(first)->second == pages)
        runs.erase(first);
}

} // namespace writewatch::host
