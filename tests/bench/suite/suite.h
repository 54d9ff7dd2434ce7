// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The native benches: patterns of real clients, each a file that registers its cases for all peers
// with Google Benchmark. A case's name is its group and parameters as "key:value" parts, which is
// what the report reads; its time is one iteration's, divided by the counter "ops" a single
// operation's.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "shim/bench/dirt.h"
#include "shim/bench/peer.h"
#include "shim/bench/region.h"

namespace bench {

// What the cases are made for; every list can be given on the command line.
struct Settings {
    std::vector<std::string> peers; // empty: those that a pattern asks for
    std::size_t pages = 16'384;     // of the region in most patterns: 64 MiB
    std::vector<unsigned> permille{0, 1, 10, 100, 250, 500, 1000};
    std::vector<std::size_t> frame_mib{64, 256};
    std::vector<unsigned> threads{1, 8};
    std::size_t resources = 1024;
    std::vector<std::size_t> regions{1, 1000, 30'000};
    std::size_t reserve_gib = 8;
    std::size_t reserved_mib = 4096; // growth of cost: largest untouched region
    std::size_t populated_mib = 256; // and largest populated one
    double seconds = 0.08;           // that the threads run in each repetition
    std::size_t crowd = 30'000;      // regions whose resident memory is measured
    bool lose_a_page = false;        // the floor does, once its answers were found to be right
    std::string preload;             // libwritewatch-wine.so, for its load time
};

class Suite {
  public:
    // Makes the peers that can run here and compares their answers with what was written; a peer
    // that is wrong ends the process. None: for a group whose children make them.
    enum class Peers { all, none };
    Suite(Settings settings, Peers peers);

    const Settings& settings() const { return settings_; }
    // Of these names, the peers that run here and were not left out, in this order.
    std::vector<Peer*> peers(std::initializer_list<std::string_view> names) const;
    // Populated and clean; kept until the process ends, since to populate it takes long. The
    // floor's is the library's.
    Region& region(Peer& peer, std::size_t pages);
    // The same for a large one; null, and the case is left out, where the memory is not there.
    Region* region_if_it_fits(benchmark::State& state, Peer& peer, std::size_t pages);

    // Registers a case. `parameters`: "peer:floor/op:get/...".
    using Body = std::function<void(benchmark::State&)>;
    void add(std::string_view group, const std::string& parameters, std::size_t iterations,
             Body body) const;

    // Why peers do not run here.
    const std::map<std::string, std::string>& unavailable() const { return unavailable_; }

  private:
    Settings settings_;
    std::map<std::string, std::unique_ptr<Peer>, std::less<>> peers_;
    std::map<std::string, std::string> unavailable_;
    std::map<std::pair<std::string_view, std::size_t>, std::unique_ptr<Region>> regions_;
};

struct Group {
    const char* name;
    const char* client; // whose pattern it is
    void (*add)(Suite&);
    unsigned most_repetitions = 21; // fewer where each takes long, or counts what does not vary
};
const std::vector<Group>& groups();

using Clock = std::chrono::steady_clock;

template<typename Work> double seconds_of(Work work)
{
    const auto start = Clock::now();
    work();
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Times `work` as this iteration.
template<typename Work> void time_iteration(benchmark::State& state, Work work)
{
    state.SetIterationTime(seconds_of(work));
}

// Sets the number of operations in an iteration.
inline void set_operations(benchmark::State& state, std::size_t operations)
{
    state.counters["ops"] = static_cast<double>(operations);
}

// Ends the case with a message when an answer was wrong or a peer met a limit; false then.
bool expect(benchmark::State& state, Peer& peer, bool right, const char* what);

// The mappings that a tracker by page protection needs for so many single pages, against what the
// system allows; empty, or why the case is left out. The other peers need mappings, too.
std::string too_many_mappings(const Peer& peer, std::size_t runs);

void add_writes(Suite& suite);
void add_matrix(Suite& suite);
void add_allocation(Suite& suite);
void add_single_page(Suite& suite);
void add_short_array(Suite& suite);
void add_heap_sections(Suite& suite);
void add_save_states(Suite& suite);
void add_small_resources(Suite& suite);
void add_reservation(Suite& suite);
void add_threads(Suite& suite);
void add_regions(Suite& suite);
void add_growth(Suite& suite);
void add_memory(Suite& suite);
void add_resident(Suite& suite);

} // namespace bench
