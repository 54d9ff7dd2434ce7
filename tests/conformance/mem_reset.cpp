// SPDX-License-Identifier: LGPL-2.1-or-later
// MEM_RESET says that contents may be dropped. Its effect on watches is not documented; what must
// hold is that later writes are seen and that untouched pages do not appear.
#include "ask.h"
#include "memory.h"

using namespace conformance;

namespace {

void mem_reset(const Region& region, std::size_t first, std::size_t count)
{
    require("VirtualAlloc with MEM_RESET succeeds",
            VirtualAlloc(region.page(first), count * page_size, MEM_RESET, PAGE_NOACCESS) ==
                region.page(first));
}

} // namespace

RULE(mem_reset, later_writes_are_reported, "Microsoft Learn: VirtualAlloc")
{
    Region region(16);
    region.write_all();
    region.reset();
    mem_reset(region, 0, 16);
    region.write(Pages{2, 9});
    const Pages pages = region.written();
    check_equal("pages reported", pages, Pages{2, 9});
}

RULE(mem_reset, clean_pages_stay_clean, "Microsoft Learn: VirtualAlloc")
{
    Region region(16);
    region.write(Pages{1, 2, 3});
    region.reset();
    mem_reset(region, 0, 16);
    check_equal("pages reported", region.written(), Pages{});
    for (std::size_t i = 0; i < 16; ++i)
        region.read(i);
    check_equal("pages reported after reads", region.written(), Pages{});
}

RULE(mem_reset, dropped_pages_can_be_reset, "Microsoft Learn: ResetWriteWatch")
{
    // Whether a dropped page is still reported is not specified: Windows may have kept it.
    Region region(16);
    region.write_all();
    mem_reset(region, 4, 4);
    const Pages pages = region.take();
    check("pages outside the range are returned", pages.size() >= 12 && pages.size() <= 16);
    check_equal("pages reported afterwards", region.written(), Pages{});
}

RULE(mem_reset, writes_before_and_after_in_one_question, "Microsoft Learn: VirtualAlloc")
{
    Region region(16);
    region.write(Pages{1, 8});
    mem_reset(region, 8, 8);
    region.write(Pages{8, 12});
    check_equal("pages reported", region.written(), Pages{1, 8, 12});
}

RULE(mem_reset, dropped_page_is_clean, "contract: a page dropped and not written again is clean")
{
    if (platform() == Platform::windows)
        not_applicable("not documented");
    Region region(16);
    region.write_all();
    mem_reset(region, 4, 4);
    // A system may drop the pages now, later or never: a page that reads as zero is gone.
    Pages expected;
    for (std::size_t i = 0; i < region.pages(); ++i)
        if (region.read(i) != std::byte{0})
            expected.push_back(i);
    check("pages outside the range keep their contents", expected.size() >= 12);
    check_equal("pages reported", region.written(), expected);
}

RULE(mem_reset, latched_page_stays_latched, "observed: Wine's tests, only a reset clears the latch")
{
    Region region(16);
    region.write(3);
    region.protect(0, 16, PAGE_READWRITE);
    mem_reset(region, 0, 16);
    check_equal("pages reported", region.written(), Pages{3});
}
