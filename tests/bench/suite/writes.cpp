// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What tracking costs the program that writes: the first write to a page of fresh memory, and the
// first write to a populated page after a reset.
#include <algorithm>

#include "shim/bench/figures.h"
#include "tests/bench/suite/suite.h"

namespace bench {

namespace {

// A handler thread takes tens of microseconds a write.
std::size_t pages_for(const Peer& peer, std::size_t pages)
{
    return peer.name() == "uffd-sync" ? std::min<std::size_t>(pages, 2048) : pages;
}

void first_write(benchmark::State& state, Peer& peer, std::size_t pages)
{
    double faults = 0;
    for (auto _ : state) {
        Region region(peer, pages);
        const double before = fault_count();
        time_iteration(state, [&] {
            for (std::size_t page = 0; page < pages; ++page)
                write_page(region.base(), page, 1);
        });
        faults = (fault_count() - before) / static_cast<double>(pages);
        const std::size_t found = peer.get(region.base(), region.bytes(), region.found(), pages);
        if (!expect(state, peer, !peer.answers() || found == pages, "first writes"))
            break;
    }
    set_operations(state, pages);
    state.counters["faults"] = faults;
}

void write_after_reset(benchmark::State& state, Region& region, const Dirt& dirt)
{
    Peer& peer = region.peer();
    double faults = 0;
    char value = 1;
    for (auto _ : state) {
        peer.reset(region.base(), region.bytes());
        const double before = fault_count();
        time_iteration(state, [&] { dirt.write(region.base(), ++value); });
        faults = (fault_count() - before) / static_cast<double>(dirt.count());
        const std::size_t found =
            peer.get(region.base(), region.bytes(), region.found(), region.pages());
        if (!expect(state, peer,
                    !peer.answers() || dirt.matches(region.base(), region.found(), found),
                    "writes after a reset"))
            break;
    }
    peer.reset(region.base(), region.bytes());
    set_operations(state, dirt.count());
    state.counters["faults"] = faults;
}

} // namespace

void add_writes(Suite& suite)
{
    // Small enough that fresh memory comes from the kernel's free lists, not from reclaim.
    const std::size_t most = std::min<std::size_t>(suite.settings().pages, 16'384);
    for (Peer* peer : suite.peers(
             {"writewatch", "floor", "eager", "mprotect", "uffd-sync", "soft-dirty", "none"})) {
        const std::size_t pages = pages_for(*peer, most);
        const std::string name = "peer:" + std::string(peer->name());
        suite.add("writes", name + "/op:first_write", 1,
                  [=](benchmark::State& state) { first_write(state, *peer, pages); });
        for (const unsigned permille : {250U, 1000U})
            suite.add("writes", name + "/op:write_after_reset/permille:" + std::to_string(permille),
                      1, [=, &suite](benchmark::State& state) {
                          write_after_reset(state, suite.region(*peer, pages),
                                            Dirt(pages, permille, Shape::scattered));
                      });
    }
}

} // namespace bench
