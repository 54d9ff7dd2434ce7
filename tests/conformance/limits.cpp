// SPDX-License-Identifier: LGPL-2.1-or-later
// Large and many.
#include "ask.h"
#include "memory.h"

#include <memory>
#include <vector>

using namespace conformance;

namespace {

using Regions = std::vector<std::unique_ptr<Region>>;

void check_many(std::size_t how_many)
{
    Regions regions;
    for (std::size_t i = 0; i < how_many; ++i)
        regions.push_back(std::make_unique<Region>(std::size_t{2}));
    for (std::size_t i = 0; i < how_many; i += 3)
        regions[i]->write(1);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < how_many; ++i)
        wrong += regions[i]->written() != (i % 3 == 0 ? Pages{1} : Pages{});
    check_equal("regions with a wrong answer", wrong, std::size_t{0});

    for (std::size_t i = 0; i < how_many; i += 2)
        regions[i]->release();
    for (std::size_t i = 1; i < how_many; i += 2)
        wrong += regions[i]->written() != (i % 3 == 0 ? Pages{1} : Pages{});
    check_equal("regions with a wrong answer after every second release", wrong, std::size_t{0});
}

} // namespace

RULE(limits, reservation_of_256_gib, "observed: collectors reserve their whole range at start")
{
    constexpr SIZE_T gib = SIZE_T{1} << 30;
    constexpr std::size_t pages = 256 * gib / page_size;
    Region region(pages, reserved);
    check_equal("pages of its first GiB", region.written(0, 0, gib / page_size, 8), Pages{});
    region.commit(0, 1);
    region.commit(pages / 2, 2);
    region.commit(pages - 1, 1);
    const Pages expected{0, pages / 2 + 1, pages - 1};
    region.write(expected);
    check_equal("pages of the whole reservation", region.written(0, 0, pages, 8), expected);
    check_equal("pages returned", region.written(WRITE_WATCH_FLAG_RESET, 0, pages, 8), expected);
    check_equal("pages reported afterwards", region.written(0, 0, pages, 8), Pages{});
}

RULE(limits, a_thousand_regions, "Microsoft Learn: VirtualAlloc")
{
    check_many(1000);
}

RULE(limits, thirty_thousand_regions, "Microsoft Learn: VirtualAlloc")
{
    check_many(30000);
}

RULE(limits, every_second_page_of_64_mib, "observed: vkd3d-proton's tests")
{
    Region region(16384);
    const Pages even = every(2, 8192);
    region.write(even);
    check_equal("pages returned", region.take(), even);
    region.write(even);
    check_equal("pages returned again", region.take(), even);
    check_equal("pages reported afterwards", region.written(), Pages{});
}

RULE(limits, more_alternating_pages_than_linux_mappings,
     "contract 1, beyond vm.max_map_count's default of 65,530")
{
    constexpr std::size_t written = 70000;
    Region region(2 * written);
    const Pages even = every(2, written);
    region.write(even);
    check_equal("pages returned", region.take(), even);
    region.write(Pages{0, 70000, 139998});
    check_equal("pages returned afterwards", region.take(), Pages{0, 70000, 139998});
}
