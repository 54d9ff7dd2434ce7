// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/bench/patterns.h"

#include "shim/bench/dirt.h"
#include "shim/bench/interleave.h"
#include "shim/bench/region.h"

namespace bench {

namespace {

constexpr std::size_t heap_pages = 16'384; // 64 MiB

using Sample = std::function<double()>;

void expect(Peer& peer, bool right, const std::string& what)
{
    const std::string limit = peer.take_limit();
    if (!right || !limit.empty())
        throw WrongAnswer(std::string(peer.name()) + ": " + what +
                          (limit.empty() ? ": not the pages that were written" : ": " + limit));
}

std::shared_ptr<Region> populated(Peer& peer, std::size_t pages)
{
    auto region = std::make_shared<Region>(peer, pages);
    region->populate();
    return region;
}

Sample first_write(Peer& peer)
{
    return [&peer] {
        constexpr std::size_t pages = 2048;
        Region region(peer, pages);
        const double ns = time_ns([&] {
            for (std::size_t page = 0; page < pages; ++page)
                write_page(region.base(), page, 1);
        });
        expect(peer, peer.get(region.base(), region.bytes(), region.found(), pages) == pages,
               "first writes");
        return ns / static_cast<double>(pages);
    };
}

Sample write_after_reset(Peer& peer)
{
    return [&peer, region = populated(peer, heap_pages),
            dirt = Dirt(heap_pages, 250, Shape::scattered)] {
        peer.reset(region->base(), region->bytes());
        const double ns = time_ns([&] { dirt.write(region->base(), 1); });
        return ns / static_cast<double>(dirt.count());
    };
}

Sample get_reset(Peer& peer, std::size_t pages, const Dirt& dirt)
{
    return [&peer, region = populated(peer, pages), dirt] {
        dirt.write(region->base(), 1);
        std::size_t found = 0;
        const double ns = time_ns([&] {
            found =
                peer.get_reset(region->base(), region->bytes(), region->found(), region->pages());
        });
        expect(peer, dirt.matches(region->base(), region->found(), found), "get+reset");
        return ns;
    };
}

Sample get_page(Peer& peer)
{
    return [&peer, region = populated(peer, 256)] {
        std::size_t found = 0;
        const double ns = time_ns([&] {
            for (std::size_t page = 0; page < region->pages(); ++page)
                found += peer.get(region->base() + page * page_size, page_size, region->found(), 1);
        });
        expect(peer, found == 0, "get of one page");
        return ns / static_cast<double>(region->pages());
    };
}

Sample allocate(Peer& peer)
{
    return [&peer] {
        constexpr std::size_t bytes = std::size_t{1} << 30;
        char* base = nullptr;
        const double ns = time_ns([&] { base = peer.allocate(bytes); });
        peer.release(base, bytes);
        return ns;
    };
}

Pattern get_reset_pattern(const char* name, const char* title, std::size_t pages, unsigned permille,
                          Shape shape)
{
    return {name, title,
            [=](Peer& peer) { return get_reset(peer, pages, Dirt(pages, permille, shape)); }};
}

} // namespace

std::vector<Pattern> patterns()
{
    return {
        {"first_write", "first write to a page", first_write},
        {"write_after_reset", "write to a page after a reset", write_after_reset},
        get_reset_pattern("get_reset_idle", "get+reset of 64 MiB, nothing written", heap_pages, 0,
                          Shape::scattered),
        get_reset_pattern("get_reset_1_percent", "  1 % written, scattered", heap_pages, 10,
                          Shape::scattered),
        get_reset_pattern("get_reset_25_percent", "  every 4th page written", heap_pages, 250,
                          Shape::scattered),
        get_reset_pattern("get_reset_all", "  every page written", heap_pages, 1000,
                          Shape::scattered),
        get_reset_pattern("frame", "a frame: get+reset of 256 MiB, 2 % written", heap_pages * 4, 20,
                          Shape::clustered),
        {"get_page", "get of one page, clean", get_page},
        {"allocate", "allocating 1 GiB", allocate},
    };
}

} // namespace bench
