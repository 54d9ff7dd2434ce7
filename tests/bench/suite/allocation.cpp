// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Allocating watched memory, from a Windows allocation's smallest size to 1 GiB, and freeing it
// untouched.
#include <vector>

#include "shim/bench/figures.h"
#include "tests/bench/suite/suite.h"

namespace bench {

namespace {

void allocate(benchmark::State& state, Peer& peer, std::size_t bytes)
{
    // All that an iteration allocated at once: the neighbours of a mapping have a cost, too.
    const std::size_t count = bytes >= (std::size_t{1} << 30) ? 1 : 16;
    std::vector<char*> bases(count);
    double page_tables = 0;
    for (auto _ : state) {
        const Figures before = current_figures();
        time_iteration(state, [&] {
            for (char*& base : bases)
                base = peer.allocate(bytes);
        });
        page_tables = (current_figures() - before).page_tables_kib;
        for (char* base : bases)
            peer.release(base, bytes);
    }
    set_operations(state, count);
    state.counters["page_tables_kib"] = page_tables / static_cast<double>(count);
}

void release(benchmark::State& state, Peer& peer, std::size_t bytes)
{
    for (auto _ : state) {
        char* const base = peer.allocate(bytes);
        time_iteration(state, [&] { peer.release(base, bytes); });
    }
    set_operations(state, 1);
}

} // namespace

void add_allocation(Suite& suite)
{
    for (Peer* peer :
         suite.peers({"writewatch", "floor", "eager", "mprotect", "uffd-sync", "none"}))
        for (const std::size_t kib : {std::size_t{64}, std::size_t{16'384}, std::size_t{1} << 20}) {
            const std::string where =
                "peer:" + std::string(peer->name()) + "/kib:" + std::to_string(kib);
            suite.add("allocation", where + "/op:allocate", 3,
                      [=](benchmark::State& state) { allocate(state, *peer, kib << 10); });
            suite.add("allocation", where + "/op:release", 3,
                      [=](benchmark::State& state) { release(state, *peer, kib << 10); });
        }
}

} // namespace bench
