// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/model/system.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace model {

namespace {

constexpr std::size_t page_size = 0x1000;

std::byte* page_of(std::byte* address)
{
    return reinterpret_cast<std::byte*>(reinterpret_cast<std::uintptr_t>(address) &
                                        ~(page_size - 1));
}

} // namespace

System::System(std::string planted) : planted_(std::move(planted)) {}

const std::vector<const char*>& System::breaks()
{
    static const std::vector<const char*> names{
        "drop-page",         // a page is left out of an answer of three or more
        "extra-page",        // the page after the last one is returned too
        "swap-pages",        // the first two entries are not in ascending order
        "byte-addresses",    // entries are not page addresses
        "ignore-flag",       // WRITE_WATCH_FLAG_RESET resets nothing
        "reset-whole-range", // WRITE_WATCH_FLAG_RESET resets what did not fit, too
        "reset-forgotten",   // ResetWriteWatch does nothing
        "reset-one-more",    // ResetWriteWatch resets one page more than asked
        "decommit-keeps",    // decommitted pages stay written
        "no-latch",          // nothing outlives a decommit
        "wrong-error",       // ERROR_INVALID_PARAMETER in place of ERROR_NOACCESS
        "count-on-failure",  // a failing call writes *count
        "beyond-count",      // an entry beyond *count is written
        "accept-overrun",    // a range that ends past the allocation is accepted
    };
    return names;
}

UINT System::get(DWORD flags, void* base, SIZE_T size, void** addresses, ULONG_PTR* count,
                 ULONG* granularity)
{
    const ULONG_PTR capacity = count ? *count : 0;
    const DWORD real_flags = is("ignore-flag") ? flags & ~DWORD{WRITE_WATCH_FLAG_RESET} : flags;
    const UINT result = GetWriteWatch(real_flags, base, size, addresses, count, granularity);
    if (planted_.empty())
        return result;
    if (result == 0) {
        falsify(flags, static_cast<std::byte*>(base), size, addresses, count, capacity);
        return result;
    }
    if (is("wrong-error") && GetLastError() == ERROR_NOACCESS)
        SetLastError(ERROR_INVALID_PARAMETER);
    if (is("count-on-failure") && count)
        *count = 0;
    if (is("accept-overrun") && count && granularity && addresses && *count && size > page_size &&
        GetWriteWatch(flags, base, size - page_size, addresses, count, granularity) == 0)
        return 0;
    return result;
}

void System::falsify(DWORD flags, std::byte* base, SIZE_T size, void** addresses, ULONG_PTR* count,
                     ULONG_PTR capacity)
{
    ULONG_PTR& found = *count;
    if (is("drop-page") && found >= 3) {
        std::copy(addresses + 2, addresses + found, addresses + 1);
        --found;
    } else if (is("extra-page") && found > 0 && found < capacity) {
        auto* const next = static_cast<std::byte*>(addresses[found - 1]) + page_size;
        if (next < base + size)
            addresses[found++] = next;
    } else if (is("swap-pages") && found >= 2) {
        std::swap(addresses[0], addresses[1]);
    } else if (is("byte-addresses") && found > 0) {
        addresses[0] = static_cast<std::byte*>(addresses[0]) + 1;
    } else if (is("reset-whole-range") && flags != 0) {
        ResetWriteWatch(base, size);
    } else if (is("beyond-count") && found > 0 && found < capacity) {
        addresses[found] = base;
    } else if (is("no-latch")) {
        ULONG_PTR kept = 0;
        for (ULONG_PTR i = 0; i < found; ++i) {
            MEMORY_BASIC_INFORMATION info{};
            VirtualQuery(addresses[i], &info, sizeof info);
            if (info.State == MEM_COMMIT)
                addresses[kept++] = addresses[i];
        }
        found = kept;
    } else if (is("decommit-keeps")) {
        std::set<void*> pages(addresses, addresses + found);
        for (std::byte* const ghost : ghosts_)
            if (ghost >= page_of(base) && ghost < base + size)
                pages.insert(ghost);
        found = 0;
        for (void* const page : pages) {
            if (found == capacity)
                break;
            addresses[found++] = page;
            if (flags != 0)
                ghosts_.erase(static_cast<std::byte*>(page));
        }
    }
}

UINT System::reset(void* base, SIZE_T size)
{
    if (is("reset-forgotten")) {
        ULONG_PTR count = 1;
        ULONG granularity = 0;
        void* page = nullptr;
        // Fails where the reset would fail.
        return GetWriteWatch(0, base, size, &page, &count, &granularity);
    }
    const UINT result = ResetWriteWatch(base, size);
    if (result == 0 && is("reset-one-more"))
        ResetWriteWatch(base, size + page_size);
    if (result == 0)
        std::erase_if(ghosts_, [&](std::byte* ghost) {
            auto* const start = static_cast<std::byte*>(base);
            return ghost >= page_of(start) && ghost < start + size;
        });
    return result;
}

bool System::decommit(void* base, SIZE_T size)
{
    if (is("decommit-keeps")) {
        MEMORY_BASIC_INFORMATION info{};
        VirtualQuery(base, &info, sizeof info);
        const SIZE_T range = size ? size : info.RegionSize;
        std::vector<void*> pages(range / page_size + 2);
        ULONG_PTR count = pages.size();
        ULONG granularity = 0;
        if (GetWriteWatch(0, base, range, pages.data(), &count, &granularity) == 0)
            for (ULONG_PTR i = 0; i < count; ++i)
                ghosts_.insert(static_cast<std::byte*>(pages[i]));
    }
    return VirtualFree(base, size, MEM_DECOMMIT) != FALSE;
}

bool System::release(void* base)
{
    ghosts_.clear();
    return VirtualFree(base, 0, MEM_RELEASE) != FALSE;
}

} // namespace model
