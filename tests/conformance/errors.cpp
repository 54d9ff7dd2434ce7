// SPDX-License-Identifier: LGPL-2.1-or-later
// What fails, with which error. Each failing call is also checked to write nothing (ask.h).
#include "ask.h"
#include "memory.h"

#include <cstdlib>
#include <memory>

using namespace conformance;

RULE(errors, base_null, "observed: Wine's tests")
{
    check_fails({.base = nullptr, .size = page_size}, ERROR_INVALID_PARAMETER);
}

RULE(errors, base_in_a_module, "observed: Wine's tests")
{
    static char somewhere[2 * page_size];
    check_fails({.base = somewhere, .size = page_size}, ERROR_INVALID_PARAMETER);
    // Code, too. Through an integer: a function pointer is no data pointer.
    const auto code = reinterpret_cast<std::uintptr_t>(&std::abort);
    check_fails({.base = reinterpret_cast<void*>(code), .size = 1}, ERROR_INVALID_PARAMETER);
}

RULE(errors, base_on_the_stack, "observed: Wine's tests")
{
    char here[16];
    check_fails({.base = here, .size = sizeof here}, ERROR_INVALID_PARAMETER);
}

RULE(errors, base_on_the_heap, "observed: Wine's tests")
{
    const auto memory = std::make_unique<char[]>(3 * page_size);
    check_fails({.base = memory.get(), .size = page_size}, ERROR_INVALID_PARAMETER);
}

RULE(errors, base_in_an_unwatched_allocation, "Microsoft Learn: GetWriteWatch")
{
    Region region(8, unwatched);
    region.write(1);
    check_fails({.base = region.base(), .size = region.size()}, ERROR_INVALID_PARAMETER);
}

RULE(errors, base_in_free_memory, "Microsoft Learn: GetWriteWatch")
{
    Region region(8);
    void* const base = region.base();
    region.release();
    check_fails({.base = base, .size = page_size}, ERROR_INVALID_PARAMETER);
}

RULE(errors, base_outside_user_space, "observed: Wine's tests")
{
    // Not canonical, the kernel's half, and the last page of all.
    for (const std::uintptr_t base :
         {std::uintptr_t{0x800000000000}, std::uintptr_t{0xffff800000000000},
          std::uintptr_t{0} - page_size})
        check_fails({.base = reinterpret_cast<void*>(base), .size = page_size},
                    ERROR_INVALID_PARAMETER);
}

RULE(errors, size_zero, "observed: Wine's tests")
{
    Region region(8);
    check_fails({.base = region.base(), .size = 0}, ERROR_INVALID_PARAMETER);
}

RULE(errors, size_zero_inside_a_page, "observed: Wine's tests")
{
    // Rounding the base down must not make a page of nothing.
    Region region(8);
    region.write(3);
    check_fails({.base = region.page(3, 100), .size = 0}, ERROR_INVALID_PARAMETER);
    check_reset_fails(region.page(3, 100), 0, ERROR_INVALID_PARAMETER);
    check_equal("pages still reported", region.written(), Pages{3});
}

RULE(errors, unknown_flags, "observed: Wine's tests")
{
    Region region(8);
    for (const DWORD flags : {DWORD{2}, DWORD{3}, DWORD{0x80000000}, DWORD{0xffffffff}})
        check_fails({.flags = flags, .base = region.base(), .size = region.size()},
                    ERROR_INVALID_PARAMETER);
}

RULE(errors, count_zero, "observed: Wine's tests")
{
    Region region(8);
    check_fails({.base = region.base(), .size = region.size(), .count = 0},
                ERROR_INVALID_PARAMETER);
}

RULE(errors, count_zero_and_addresses_null, "observed: Wine's tests")
{
    Region region(8);
    check_fails({.base = region.base(), .size = region.size(), .count = 0, .addresses_null = true},
                ERROR_INVALID_PARAMETER);
}

RULE(errors, addresses_null, "observed: Wine's tests")
{
    Region region(8);
    check_fails({.base = region.base(), .size = region.size(), .addresses_null = true},
                ERROR_NOACCESS);
}

RULE(errors, count_null, "observed: Wine's tests")
{
    Region region(8);
    check_fails({.base = region.base(), .size = region.size(), .count_null = true}, ERROR_NOACCESS);
}

RULE(errors, granularity_null, "observed: Wine's tests")
{
    Region region(8);
    check_fails({.base = region.base(), .size = region.size(), .granularity_null = true},
                ERROR_NOACCESS);
}

RULE(errors, reset_size_zero, "observed: Wine's tests")
{
    Region region(8);
    region.write(1);
    check_reset_fails(region.base(), 0, ERROR_INVALID_PARAMETER);
    check_equal("pages still reported", region.written(), Pages{1});
}

RULE(errors, reset_base_null, "observed: Wine's tests")
{
    check_reset_fails(nullptr, page_size, ERROR_INVALID_PARAMETER);
    check_reset_fails(nullptr, 0, ERROR_INVALID_PARAMETER);
}

RULE(errors, reset_of_an_unwatched_allocation, "observed: Wine's tests")
{
    Region region(8, unwatched);
    check_reset_fails(region.base(), region.size(), ERROR_INVALID_PARAMETER);
}

RULE(errors, reset_of_a_module, "observed: Wine's tests")
{
    static char somewhere[page_size];
    check_reset_fails(somewhere, sizeof somewhere, ERROR_INVALID_PARAMETER);
}

RULE(errors, reset_past_the_end, "observed: Wine's tests")
{
    Region region(8);
    region.write_all();
    check_reset_fails(region.base(), region.size() + 1, ERROR_INVALID_PARAMETER);
    check_equal("pages still reported", region.written().size(), region.pages());
}
