// SPDX-License-Identifier: LGPL-2.1-or-later
// The order of checks: with several mistakes in one call, the NTSTATUS tells which was seen first.
#include "ask.h"
#include "memory.h"

using namespace conformance;

RULE(status, count_null_comes_before_everything, "observed: Wine's tests")
{
    check_fails_nt(
        {.flags = 0xff, .base = nullptr, .size = 0, .addresses_null = true, .count_null = true},
        status_access_violation);
}

RULE(status, granularity_null_comes_before_everything, "observed: Wine's tests")
{
    check_fails_nt({.flags = 0xff,
                    .base = nullptr,
                    .size = 0,
                    .count = 0,
                    .addresses_null = true,
                    .granularity_null = true},
                   status_access_violation);
}

RULE(status, count_zero_comes_before_addresses_null, "observed: Wine's tests")
{
    Region region(4);
    check_fails_nt(
        {.base = region.base(), .size = region.size(), .count = 0, .addresses_null = true},
        status_invalid_parameter);
}

RULE(status, size_zero_comes_before_addresses_null, "observed: Wine's tests")
{
    Region region(4);
    check_fails_nt({.base = region.base(), .size = 0, .addresses_null = true},
                   status_invalid_parameter);
}

RULE(status, flags_come_before_addresses_null, "observed: Wine's tests")
{
    Region region(4);
    check_fails_nt(
        {.flags = 2, .base = region.base(), .size = region.size(), .addresses_null = true},
        status_invalid_parameter);
}

RULE(status, addresses_null_comes_before_the_range, "observed: Wine's tests")
{
    check_fails_nt({.base = nullptr, .size = page_size, .addresses_null = true},
                   status_access_violation);
    Region region(4);
    check_fails_nt({.base = region.base(), .size = region.size() + 1, .addresses_null = true},
                   status_access_violation);
}

RULE(status, range_outside_a_watched_allocation, "observed: Wine's tests")
{
    Region region(4);
    Region plain(4, unwatched);
    check_fails_nt({.base = nullptr, .size = page_size}, status_invalid_parameter);
    check_fails_nt({.base = plain.base(), .size = plain.size()}, status_invalid_parameter);
    check_fails_nt({.base = region.base(), .size = region.size() + 1}, status_invalid_parameter);
}

RULE(status, flags, "observed: Wine's tests")
{
    Region region(4);
    check_fails_nt({.flags = 2, .base = region.base(), .size = region.size()},
                   status_invalid_parameter);
}

RULE(status, reset_of_nothing, "observed: Wine's tests")
{
    Region region(4);
    check_equal("status for size 0", Status{NtResetWriteWatch(own_process(), region.base(), 0)},
                status_invalid_parameter);
    check_equal("status for NULL", Status{NtResetWriteWatch(own_process(), nullptr, page_size)},
                status_invalid_parameter);
    check_equal("status past the end",
                Status{NtResetWriteWatch(own_process(), region.base(), region.size() + 1)},
                status_invalid_parameter);
}

RULE(status, handle_of_no_process,
     "Microsoft Learn: ReferenceObjectByHandle, STATUS_INVALID_HANDLE")
{
    // Handles are multiples of four; no table is this large.
    const auto handle = reinterpret_cast<HANDLE>(std::uintptr_t{0x7ffffffc});
    Region region(4);
    region.write(1);
    void* addresses[4];
    ULONG_PTR count = 4;
    ULONG granularity = granularity_sentinel;
    check_equal("status of NtGetWriteWatch",
                Status{NtGetWriteWatch(handle, WRITE_WATCH_FLAG_RESET, region.base(), region.size(),
                                       addresses, &count, &granularity)},
                status_invalid_handle);
    check_equal("*count", count, ULONG_PTR{4});
    check_equal("*granularity", granularity, granularity_sentinel);
    check_equal("status of NtResetWriteWatch",
                Status{NtResetWriteWatch(handle, region.base(), region.size())},
                status_invalid_handle);
    check_equal("pages still reported", region.written(), Pages{1});
}
