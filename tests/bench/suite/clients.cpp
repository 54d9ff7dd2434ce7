// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How programs are known to call: each pattern is named after its client in groups() (suite.cpp).
#include <algorithm>
#include <cstdint>
#include <random>

#include "tests/bench/suite/suite.h"

namespace bench {

namespace {

std::vector<Peer*> asked_peers(const Suite& suite)
{
    return suite.peers({"writewatch", "floor", "eager", "mprotect"});
}

std::string peer_part(const Peer& peer)
{
    return "peer:" + std::string(peer.name());
}

// ChakraCore: segments of up to 272 pages, and calls about one page of them in no order.
constexpr std::size_t segment_pages = 272;

void single_page(benchmark::State& state, Region& region, bool written, bool reset)
{
    constexpr std::size_t calls = 4096;
    Peer& peer = region.peer();
    std::vector<std::size_t> order(calls);
    std::mt19937 random(1);
    for (std::size_t& page : order)
        page = random() % segment_pages;
    peer.reset(region.base(), region.bytes());
    if (written)
        for (std::size_t page = 0; page < segment_pages; ++page)
            write_page(region.base(), page, 1);
    for (auto _ : state) {
        std::size_t found = 0;
        time_iteration(state, [&] {
            for (const std::size_t page : order) {
                char* const base = region.base() + page * page_size;
                found += reset ? peer.get_reset(base, page_size, region.found(), 1)
                               : peer.get(base, page_size, region.found(), 1);
            }
        });
        if (!expect(state, peer, found == (written ? calls : 0), "single pages"))
            break;
    }
    peer.reset(region.base(), region.bytes());
    set_operations(state, calls);
}

// One write and one get+reset of its page in turn; the pair is the operation.
void write_and_take(benchmark::State& state, Region& region)
{
    constexpr std::size_t calls = 1024;
    Peer& peer = region.peer();
    for (auto _ : state) {
        std::size_t found = 0;
        time_iteration(state, [&] {
            for (std::size_t i = 0; i < calls; ++i) {
                const std::size_t page = i * 37 % segment_pages;
                write_page(region.base(), page, 1);
                found +=
                    peer.get_reset(region.base() + page * page_size, page_size, region.found(), 1);
            }
        });
        if (!expect(state, peer, found == calls, "single pages with reset"))
            break;
    }
    set_operations(state, calls);
}

// .NET: an array of about 100 entries; while it comes back full, again from behind the last page.
std::size_t collect_by_hundreds(Region& region)
{
    constexpr std::size_t capacity = 100;
    char* at = region.base();
    char* const end = at + region.bytes();
    std::size_t total = 0;
    while (at < end) {
        const std::size_t found = region.peer().get_reset(at, static_cast<std::size_t>(end - at),
                                                          region.found(), capacity);
        total += found;
        if (found < capacity)
            break;
        at = static_cast<char*>(region.found()[found - 1]) + page_size;
    }
    return total;
}

// bdwgc: a call for each heap section, 4,096 entries, again while full.
constexpr std::size_t section_pages = 4096;

std::size_t collect_sections(const std::vector<std::unique_ptr<Region>>& sections)
{
    std::size_t total = 0;
    for (const auto& section : sections) {
        std::size_t found = 0;
        do {
            found = section->peer().get_reset(section->base(), section->bytes(), section->found(),
                                              section_pages);
            total += found;
        } while (found == section_pages);
    }
    return total;
}

using Sections = std::vector<std::unique_ptr<Region>>;

void heap_sections(benchmark::State& state, Sections& sections, Peer& peer, std::size_t count,
                   unsigned permille)
{
    while (sections.size() < count) {
        sections.push_back(std::make_unique<Region>(peer, section_pages));
        sections.back()->populate();
    }
    const Dirt dirt(section_pages, permille, Shape::scattered);
    for (auto _ : state) {
        for (const auto& section : sections)
            dirt.write(section->base(), 1);
        std::size_t found = 0;
        time_iteration(state, [&] { found = collect_sections(sections); });
        if (!expect(state, peer, found == count * dirt.count(), "heap sections"))
            break;
    }
    set_operations(state, 1);
}

// Save states and rollback: all of the emulated RAM, each frame, an entry for each page.
void frame(benchmark::State& state, Region& region, const Dirt& dirt)
{
    Peer& peer = region.peer();
    double writes = 0;
    for (auto _ : state) {
        writes = seconds_of([&] { dirt.write(region.base(), 1); });
        std::size_t found = 0;
        time_iteration(state, [&] {
            found = peer.get_reset(region.base(), region.bytes(), region.found(), region.pages());
        });
        if (!expect(state, peer, dirt.matches(region.base(), region.found(), found), "a frame"))
            break;
    }
    set_operations(state, 1);
    state.counters["write_ns"] =
        writes * 1e9 / static_cast<double>(std::max<std::size_t>(dirt.count(), 1));
}

// D3D12 layers: a watched 64 KiB allocation for each resource; reset, a few writes, get+reset.
constexpr std::size_t resource_pages = 16;

void small_resources(benchmark::State& state, Peer& peer, std::size_t count)
{
    constexpr std::size_t bytes = resource_pages * page_size;
    std::vector<char*> resources(count);
    for (char*& base : resources) {
        base = peer.allocate(bytes);
        write_page(base, 3, 1);
        write_page(base, 9, 1);
    }
    void* pages[resource_pages];
    for (auto _ : state) {
        std::size_t found = 0;
        time_iteration(state, [&] {
            for (char* base : resources) {
                peer.reset(base, bytes);
                write_page(base, 3, 2);
                write_page(base, 9, 2);
                found += peer.get_reset(base, bytes, static_cast<void**>(pages), resource_pages);
            }
        });
        if (!expect(state, peer, found == 2 * count, "small resources"))
            break;
    }
    for (char* base : resources)
        peer.release(base, bytes);
    set_operations(state, count);
}

} // namespace

void add_single_page(Suite& suite)
{
    for (Peer* peer : asked_peers(suite)) {
        for (const bool written : {false, true})
            suite.add("single-page",
                      peer_part(*peer) + "/op:get/page:" + (written ? "written" : "clean"), 4,
                      [=, &suite](benchmark::State& state) {
                          single_page(state, suite.region(*peer, segment_pages), written, false);
                      });
        suite.add("single-page", peer_part(*peer) + "/op:get_reset/page:clean", 4,
                  [=, &suite](benchmark::State& state) {
                      single_page(state, suite.region(*peer, segment_pages), false, true);
                  });
        suite.add("single-page", peer_part(*peer) + "/op:write_get_reset/page:written", 4,
                  [=, &suite](benchmark::State& state) {
                      write_and_take(state, suite.region(*peer, segment_pages));
                  });
    }
}

void add_short_array(Suite& suite)
{
    const std::size_t pages = suite.settings().pages;
    for (Peer* peer : asked_peers(suite))
        for (const unsigned permille : {10U, 100U})
            suite.add("short-array",
                      peer_part(*peer) + "/permille:" + std::to_string(permille) +
                          "/pages:" + std::to_string(pages),
                      3, [=, &suite](benchmark::State& state) {
                          Region& region = suite.region(*peer, pages);
                          const Dirt dirt(pages, permille, Shape::scattered);
                          for (auto _ : state) {
                              dirt.write(region.base(), 1);
                              std::size_t found = 0;
                              time_iteration(state, [&] { found = collect_by_hundreds(region); });
                              if (!expect(state, *peer, found == dirt.count(), "short arrays"))
                                  break;
                          }
                          set_operations(state, 1);
                      });
}

void add_heap_sections(Suite& suite)
{
    const std::size_t count = std::max<std::size_t>(suite.settings().pages / section_pages, 1);
    for (Peer* peer : asked_peers(suite)) {
        const auto sections = std::make_shared<Sections>(); // of both cases
        for (const unsigned permille : {0U, 50U})
            suite.add("heap-sections",
                      peer_part(*peer) + "/permille:" + std::to_string(permille) +
                          "/sections:" + std::to_string(count),
                      3, [=](benchmark::State& state) {
                          heap_sections(state, *sections, *peer, count, permille);
                      });
    }
}

void add_save_states(Suite& suite)
{
    for (const std::size_t mib : suite.settings().frame_mib) {
        const std::size_t pages = (mib << 20) / page_size;
        for (Peer* peer : asked_peers(suite))
            suite.add("save-states",
                      peer_part(*peer) + "/mib:" + std::to_string(mib) + "/permille:20", 3,
                      [=, &suite](benchmark::State& state) {
                          Region* const region = suite.region_if_it_fits(state, *peer, pages);
                          if (region)
                              frame(state, *region, Dirt(pages, 20, Shape::clustered));
                      });
    }
}

void add_small_resources(Suite& suite)
{
    const std::size_t count = suite.settings().resources;
    for (Peer* peer : asked_peers(suite))
        suite.add("small-resources", peer_part(*peer) + "/resources:" + std::to_string(count), 2,
                  [=](benchmark::State& state) { small_resources(state, *peer, count); });
}

} // namespace bench
