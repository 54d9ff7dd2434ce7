// SPDX-License-Identifier: LGPL-2.1-or-later
// NtSetInformationVirtualMemory with VmPageDirtyStateInformation resets watches, range by range.
#include "memory.h"
#include "nt.h"

#include <vector>

using namespace conformance;

#ifdef _WIN32

namespace {

struct Range { // MEMORY_RANGE_ENTRY
    PVOID address;
    SIZE_T size;
};

using SetInformation = NTSTATUS(NTAPI*)(HANDLE process, int information_class,
                                        ULONG_PTR range_count, Range* ranges, PVOID information,
                                        ULONG information_size);
constexpr int vm_page_dirty_state_information = 3;

NTSTATUS reset_dirty_state(std::vector<Range> ranges)
{
    const auto call =
        function_or_skip<SetInformation>("ntdll.dll", "NtSetInformationVirtualMemory");
    ULONG unused = 0;
    return call(own_process(), vm_page_dirty_state_information, ranges.size(), ranges.data(),
                &unused, sizeof unused);
}

} // namespace

RULE(information, dirty_state_resets_the_range, "observed: Wine's tests")
{
    Region region(8);
    region.write_all();
    const NTSTATUS status = reset_dirty_state({{region.page(2), 3 * page_size}});
    require("the call succeeds, got " + show(Status{status}), Status{status} == status_success);
    check_equal("pages reported", region.written(), Pages{0, 1, 5, 6, 7});
    region.write(3);
    check_equal("pages reported after a write", region.written(), Pages{0, 1, 3, 5, 6, 7});
}

RULE(information, dirty_state_takes_several_ranges, "observed: Wine's tests")
{
    Region one(8);
    Region other(8);
    one.write_all();
    other.write_all();
    const NTSTATUS status = reset_dirty_state(
        {{one.page(0), page_size}, {other.page(4), 4 * page_size}, {one.page(6), page_size}});
    require("the call succeeds, got " + show(Status{status}), Status{status} == status_success);
    check_equal("pages of the first", one.written(), Pages{1, 2, 3, 4, 5, 7});
    check_equal("pages of the second", other.written(), Pages{0, 1, 2, 3});
}

RULE(information, dirty_state_clears_the_latch,
     "observed: Wine's tests, only a reset clears the latch")
{
    Region region(8);
    region.write(Pages{1, 5});
    region.protect(0, 8, PAGE_READWRITE);
    const NTSTATUS status = reset_dirty_state({{region.page(0), 4 * page_size}});
    require("the call succeeds, got " + show(Status{status}), Status{status} == status_success);
    region.decommit(0, 8);
    check_equal("pages reported", region.written(), Pages{5});
}

#else

namespace {
constexpr char no_call[] = "the library has no NtSetInformationVirtualMemory";
}
NOT_APPLICABLE(information, dirty_state_resets_the_range, no_call)
NOT_APPLICABLE(information, dirty_state_takes_several_ranges, no_call)
NOT_APPLICABLE(information, dirty_state_clears_the_latch, no_call)

#endif
