// SPDX-License-Identifier: LGPL-2.1-or-later
#include "memory.h"

#include <string>

namespace conformance {

Region::Region(std::size_t pages, DWORD type, DWORD protect, void* at)
    : base_(static_cast<std::byte*>(VirtualAlloc(at, pages * page_size, type, protect))),
      pages_(pages)
{
    require("VirtualAlloc of " + std::to_string(pages) + " pages succeeds, got " +
                show(Error{GetLastError()}),
            base_ != nullptr);
}

Region::~Region()
{
    if (base_)
        VirtualFree(base_, 0, MEM_RELEASE);
}

void Region::write(std::size_t page) const
{
    store(this->page(page));
}

void Region::write(const Pages& pages) const
{
    for (const std::size_t each : pages)
        write(each);
}

void Region::write_all() const
{
    for (std::size_t i = 0; i < pages_; ++i)
        write(i);
}

std::byte Region::read(std::size_t page) const
{
    return *const_cast<const volatile std::byte*>(this->page(page));
}

Pages Region::written(DWORD flags) const
{
    return written(flags, 0, pages_, pages_);
}

Pages Region::written(DWORD flags, std::size_t first, std::size_t count, std::size_t capacity) const
{
    std::vector<void*> addresses(capacity);
    ULONG_PTR found = capacity;
    ULONG granularity = 0;
    SetLastError(ERROR_SUCCESS);
    const UINT result = GetWriteWatch(flags, page(first), count * page_size, addresses.data(),
                                      &found, &granularity);
    require("GetWriteWatch of pages " + std::to_string(first) + " to " +
                std::to_string(first + count) + " succeeds, got " + show(Error{GetLastError()}),
            result == 0);
    require("GetWriteWatch returns at most the entries that fit", found <= capacity);

    Pages pages;
    for (std::size_t i = 0; i < found; ++i)
        pages.push_back(page_of(*this, addresses[i]));
    return pages;
}

void Region::reset() const
{
    reset(0, pages_);
}

void Region::reset(std::size_t first, std::size_t count) const
{
    SetLastError(ERROR_SUCCESS);
    const UINT result = ResetWriteWatch(page(first), count * page_size);
    require("ResetWriteWatch succeeds, got " + show(Error{GetLastError()}), result == 0);
}

void Region::commit(std::size_t first, std::size_t count, DWORD protect) const
{
    require("committing pages succeeds",
            VirtualAlloc(page(first), count * page_size, MEM_COMMIT, protect) == page(first));
}

void Region::decommit(std::size_t first, std::size_t count) const
{
    require("decommitting pages succeeds",
            VirtualFree(page(first), count * page_size, MEM_DECOMMIT) != FALSE);
}

void Region::decommit_all() const
{
    require("decommitting the allocation succeeds", VirtualFree(base_, 0, MEM_DECOMMIT) != FALSE);
}

void Region::protect(std::size_t first, std::size_t count, DWORD protect) const
{
    DWORD old = 0;
    require("VirtualProtect succeeds",
            VirtualProtect(page(first), count * page_size, protect, &old) != FALSE);
}

void Region::release()
{
    const bool released = VirtualFree(base_, 0, MEM_RELEASE) != FALSE;
    base_ = nullptr;
    require("VirtualFree with MEM_RELEASE succeeds", released);
}

std::size_t page_of(const Region& region, const void* address)
{
    const auto offset =
        static_cast<std::size_t>(static_cast<const std::byte*>(address) - region.base());
    if (offset >= region.size() || offset % page_size != 0)
        require("the entry " + show(address) + " is the start of a page of the region at " +
                    show(static_cast<const void*>(region.base())),
                false);
    return offset / page_size;
}

bool is_free(const void* at, std::size_t size)
{
    MEMORY_BASIC_INFORMATION info{};
    return VirtualQuery(at, &info, sizeof info) != 0 && info.State == MEM_FREE &&
           info.RegionSize >= size;
}

void store(std::byte* at, unsigned value)
{
    *static_cast<volatile std::byte*>(at) = static_cast<std::byte>(value);
}

Pages every(std::size_t step, std::size_t count, std::size_t first)
{
    Pages pages;
    for (std::size_t i = 0; i < count; ++i)
        pages.push_back(first + i * step);
    return pages;
}

} // namespace conformance
