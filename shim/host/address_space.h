// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The native host: Windows' private memory on top of mmap. Keeps what Windows knows of an
// allocation and Linux does not (its base, which pages are committed, with which PAGE_* protection)
// and tells the watch set what happens to watched ones.
#pragma once

#include "shim/core/watch_set.h"
#include "shim/sys/fork.h"

#include <writewatch/win32.h>

#include <map>

namespace writewatch::host {

class AddressSpace {
  public:
    explicit AddressSpace(core::WatchSet& watches) noexcept : watches_(watches) {}

    // Call once, before anything else and after the watch set's open (the order of locks at fork).
    Result<void> open() noexcept { return lock_.open(); }

    // The four functions of NtAllocateVirtualMemory & co.; parameters as there. `base` and `size`
    // are in and out, written on success only.
    NTSTATUS allocate(void*& base, SIZE_T& size, ULONG type, ULONG protect);
    NTSTATUS free(void* base, SIZE_T size, ULONG type);
    NTSTATUS protect(void* base, SIZE_T size, ULONG protect, ULONG& old_protect);
    void query(const void* address, MEMORY_BASIC_INFORMATION& info);

  private:
    // What a run of pages is, from its start to the next run's.
    struct Pages {
        bool committed = false;
        ULONG protect = 0; // PAGE_*, of committed ones
        friend bool operator==(const Pages&, const Pages&) = default;
    };

    struct Allocation {
        PageRange range;
        ULONG protect = 0; // PAGE_*, as allocated
        bool watched = false;
        std::map<std::uintptr_t, Pages> runs; // by start; covers the range
    };

    using Allocations = std::map<std::uintptr_t, Allocation>;

    NTSTATUS reserve(void*& base, SIZE_T& size, ULONG type, ULONG protect, int protection);
    NTSTATUS commit(void*& base, SIZE_T& size, ULONG protect, int protection);
    NTSTATUS discard(void*& base, SIZE_T& size);
    NTSTATUS release(Allocation& allocation);
    NTSTATUS decommit(Allocation& allocation, PageRange range);

    Result<PageRange> map_free(std::size_t bytes, int protection) const;
    Result<void> watch(PageRange range, ULONG protect, int protection);
    // All of the range, or none of it.
    Result<void> set_protection(const Allocation& allocation, PageRange range, int protection);
    Result<void> apply_protection(const Allocation& allocation, PageRange range, int protection);
    void restore_protection(const Allocation& allocation, PageRange range);

    Allocation* find(std::uintptr_t address);
    static bool all_committed(const Allocation& allocation, PageRange range);
    static void set_pages(Allocation& allocation, PageRange range, Pages pages);
    static void split_run(Allocation& allocation, std::uintptr_t address);

    core::WatchSet& watches_;
    // Held with signals blocked: a thread that a collector suspends in here would block its next
    // allocation. In a fork page: a child must not inherit it locked.
    sys::ForkPage lock_;
    Allocations allocations_; // by start
};

} // namespace writewatch::host
