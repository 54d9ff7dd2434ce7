// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How costs grow: with the size of an untouched region (allocating it, asking about it) and with
// the populated pages in the range of a call (idle, and every 4th page written). The report fits
// slopes to these points.
#include <algorithm>

#include "tests/bench/suite/suite.h"

namespace bench {

namespace {

std::vector<std::size_t> sizes_up_to(std::size_t mib, std::size_t factor)
{
    std::vector<std::size_t> sizes;
    for (std::size_t bytes = std::size_t{64} << 10; bytes <= mib << 20; bytes *= factor)
        sizes.push_back(bytes);
    return sizes;
}

// Calls about small ranges are timed together.
std::size_t calls_for(std::size_t bytes)
{
    return std::clamp<std::size_t>((std::size_t{16} << 20) / bytes, 1, 256);
}

void allocate(benchmark::State& state, Peer& peer, std::size_t bytes)
{
    for (auto _ : state) {
        char* base = nullptr;
        time_iteration(state, [&] { base = peer.allocate(bytes); });
        peer.release(base, bytes);
    }
    set_operations(state, 1);
}

void ask_untouched(benchmark::State& state, Peer& peer, std::size_t bytes)
{
    void* found = nullptr;
    char* const base = peer.allocate(bytes);
    for (auto _ : state) {
        std::size_t count = 0;
        time_iteration(state, [&] {
            for (std::size_t i = 0; i < calls_for(bytes); ++i)
                count += peer.get(base, bytes, &found, 1);
        });
        if (!expect(state, peer, count == 0, "an untouched region"))
            break;
    }
    peer.release(base, bytes);
    set_operations(state, calls_for(bytes));
}

void ask_idle(benchmark::State& state, Region& region, std::size_t bytes)
{
    Peer& peer = region.peer();
    for (auto _ : state) {
        std::size_t count = 0;
        time_iteration(state, [&] {
            for (std::size_t i = 0; i < calls_for(bytes); ++i)
                count += peer.get(region.base(), bytes, region.found(), bytes / page_size);
        });
        if (!expect(state, peer, count == 0, "an idle region"))
            break;
    }
    set_operations(state, calls_for(bytes));
}

void take_quarter(benchmark::State& state, Region& region, std::size_t bytes)
{
    Peer& peer = region.peer();
    const std::size_t pages = bytes / page_size;
    const Dirt dirt(pages, 250, Shape::scattered);
    for (auto _ : state) {
        dirt.write(region.base(), 1);
        std::size_t found = 0;
        time_iteration(
            state, [&] { found = peer.get_reset(region.base(), bytes, region.found(), pages); });
        if (!expect(state, peer, dirt.matches(region.base(), region.found(), found), "a quarter"))
            break;
    }
    set_operations(state, 1);
}

void add_untouched(Suite& suite, Peer& peer, std::size_t bytes)
{
    const std::string where =
        "peer:" + std::string(peer.name()) + "/untouched_kib:" + std::to_string(bytes >> 10);
    suite.add("growth", where + "/op:allocate", 2,
              [=, &peer](benchmark::State& state) { allocate(state, peer, bytes); });
    suite.add("growth", where + "/op:get", 2,
              [=, &peer](benchmark::State& state) { ask_untouched(state, peer, bytes); });
}

// Ranges at the beginning of one region that is as large as the largest.
void add_populated(Suite& suite, Peer& peer, std::size_t bytes)
{
    const std::size_t pages = (suite.settings().populated_mib << 20) / page_size;
    const std::string where =
        "peer:" + std::string(peer.name()) + "/populated_kib:" + std::to_string(bytes >> 10);
    suite.add("growth", where + "/op:get", 4, [=, &suite, &peer](benchmark::State& state) {
        if (Region* const region = suite.region_if_it_fits(state, peer, pages))
            ask_idle(state, *region, bytes);
    });
    suite.add("growth", where + "/op:get_reset/permille:250", 1,
              [=, &suite, &peer](benchmark::State& state) {
                  const std::string limit = too_many_mappings(peer, bytes / page_size / 4);
                  if (!limit.empty())
                      state.SkipWithError(limit.c_str());
                  else if (Region* const region = suite.region_if_it_fits(state, peer, pages))
                      take_quarter(state, *region, bytes);
              });
}

} // namespace

void add_growth(Suite& suite)
{
    for (Peer* peer : suite.peers({"writewatch", "floor", "eager", "mprotect"})) {
        for (const std::size_t bytes : sizes_up_to(suite.settings().reserved_mib, 16))
            add_untouched(suite, *peer, bytes);
        for (const std::size_t bytes : sizes_up_to(suite.settings().populated_mib, 4))
            add_populated(suite, *peer, bytes);
    }
}

} // namespace bench
