// SPDX-License-Identifier: LGPL-2.1-or-later
// A call that fails has done nothing: no page is reset by it. (That it writes nothing is checked
// with every failing call, see ask.h.)
#include "ask.h"
#include "memory.h"

#include <utility>

using namespace conformance;

namespace {

/// The question must fail although it asks for a reset; the dirty pages must survive it.
void check_keeps_dirty_pages(const Region& region, Question question, const char* what)
{
    region.write(Pages{0, 3});
    question.flags |= WRITE_WATCH_FLAG_RESET;
    check(what, ask(question).result != 0);
    check_equal(std::string("pages reported after ") + what, region.take(), Pages{0, 3});
}

} // namespace

RULE(failure, of_a_reset_keeps_every_page, "contract 4: a failed call loses no dirty state")
{
    Region region(4);
    void* const base = region.base();
    const SIZE_T size = region.size();
    check_keeps_dirty_pages(region, {.flags = 2, .base = base, .size = size}, "unknown flags");
    check_keeps_dirty_pages(region, {.base = base, .size = 0}, "size 0");
    check_keeps_dirty_pages(region, {.base = base, .size = size + 1}, "a range past the end");
    check_keeps_dirty_pages(region, {.base = base, .size = ~SIZE_T{0}}, "a wrapping range");
    check_keeps_dirty_pages(region, {.base = base, .size = size, .count = 0}, "count 0");
    check_keeps_dirty_pages(region, {.base = base, .size = size, .addresses_null = true},
                            "addresses NULL");
    check_keeps_dirty_pages(region, {.base = base, .size = size, .count_null = true}, "count NULL");
    check_keeps_dirty_pages(region, {.base = base, .size = size, .granularity_null = true},
                            "granularity NULL");
}

RULE(failure, of_a_release_keeps_the_watch, "Microsoft Learn: VirtualFree")
{
    Region region(32);
    region.write(Pages{1, 20});
    check("a release that names a size fails",
          VirtualFree(region.base(), page_size, MEM_RELEASE) == FALSE);
    check("a release from the middle fails", VirtualFree(region.page(16), 0, MEM_RELEASE) == FALSE);
    check("an unknown type fails", VirtualFree(region.base(), 0, 0) == FALSE);
    check("decommit and release together fail",
          VirtualFree(region.base(), 0, MEM_RELEASE | MEM_DECOMMIT) == FALSE);
    check_equal("pages reported", region.written(), Pages{1, 20});
}

RULE(failure, of_a_decommit_keeps_every_page, "Microsoft Learn: VirtualFree")
{
    Region region(8);
    region.write(Pages{1, 6});
    check("a decommit past the end fails",
          VirtualFree(region.base(), region.size() + 1, MEM_DECOMMIT) == FALSE);
    check_equal("pages reported", region.written(), Pages{1, 6});
}

RULE(failure, of_a_protection_change_keeps_every_page, "Microsoft Learn: VirtualProtect")
{
    Region region(8);
    region.write(Pages{1, 6});
    DWORD old = 0;
    check("an unknown protection fails",
          VirtualProtect(region.base(), region.size(), 0x1234, &old) == FALSE);
    check("a range past the end fails",
          VirtualProtect(region.base(), region.size() + 1, PAGE_READONLY, &old) == FALSE);
    check("no place for the old protection fails",
          VirtualProtect(region.base(), region.size(), PAGE_READONLY, nullptr) == FALSE);
    check_equal("pages reported", region.written(), Pages{1, 6});
    region.write(2);
    check_equal("pages reported after a write", region.written(), Pages{1, 2, 6});
}
