// SPDX-License-Identifier: LGPL-2.1-or-later
// MEM_RESET_UNDO, OfferVirtualMemory, ReclaimVirtualMemory and DiscardVirtualMemory: their effect
// on watches is not documented; no later write may be lost.
#include "memory.h"
#include "nt.h"

using namespace conformance;

#ifdef _WIN32

namespace {

void check_later_writes(const Region& region)
{
    region.reset();
    region.write(Pages{2, 7});
    check_equal("pages returned", region.take(), Pages{2, 7});
    check_equal("pages reported afterwards", region.written(), Pages{});
}

} // namespace

RULE(offers, reset_undo_loses_no_later_write, "Microsoft Learn: VirtualAlloc")
{
    Region region(16);
    region.write_all();
    require("MEM_RESET succeeds",
            VirtualAlloc(region.base(), region.size(), MEM_RESET, PAGE_NOACCESS) != nullptr);
    if (!VirtualAlloc(region.base(), region.size(), MEM_RESET_UNDO, PAGE_NOACCESS))
        note("MEM_RESET_UNDO fails with " + show(Error{GetLastError()}));
    check_later_writes(region);
}

RULE(offers, offered_and_reclaimed_memory_is_still_watched, "Microsoft Learn: OfferVirtualMemory")
{
    using Offer = DWORD(WINAPI*)(PVOID address, SIZE_T size, int priority);
    using Reclaim = DWORD(WINAPI*)(const void* address, SIZE_T size);
    const auto offer = function_or_skip<Offer>("kernel32.dll", "OfferVirtualMemory");
    const auto reclaim = function_or_skip<Reclaim>("kernel32.dll", "ReclaimVirtualMemory");
    Region region(16);
    region.write_all();
    constexpr int low = 2; // VmOfferPriorityLow
    if (const DWORD error = offer(region.base(), region.size(), low))
        skip("OfferVirtualMemory fails with " + show(Error{error}));
    const DWORD error = reclaim(region.base(), region.size());
    constexpr DWORD contents_lost = ERROR_BUSY;
    require("ReclaimVirtualMemory succeeds, got " + show(Error{error}),
            error == ERROR_SUCCESS || error == contents_lost);
    check_later_writes(region);
}

RULE(offers, discarded_memory_is_still_watched, "Microsoft Learn: DiscardVirtualMemory")
{
    using Discard = DWORD(WINAPI*)(PVOID address, SIZE_T size);
    const auto discard = function_or_skip<Discard>("kernel32.dll", "DiscardVirtualMemory");
    Region region(16);
    region.write_all();
    if (const DWORD error = discard(region.base(), region.size()))
        skip("DiscardVirtualMemory fails with " + show(Error{error}));
    check_later_writes(region);
}

#else

namespace {
constexpr char no_call[] = "the library has no such call";
}
NOT_APPLICABLE(offers, reset_undo_loses_no_later_write, no_call)
NOT_APPLICABLE(offers, offered_and_reclaimed_memory_is_still_watched, no_call)
NOT_APPLICABLE(offers, discarded_memory_is_still_watched, no_call)

#endif
