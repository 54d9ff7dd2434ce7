// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/bench/suite/suite.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "shim/bench/verify.h"
#include "tests/bench/suite/faulty_peer.h"

namespace bench {

namespace {

// Empty, or why so much cannot be populated.
std::string too_little_memory(std::size_t bytes)
{
    std::ifstream information("/proc/meminfo");
    std::size_t kib = 0;
    for (std::string word; information >> word;)
        if (word == "MemAvailable:")
            information >> kib;
    constexpr std::size_t spare_kib = std::size_t{1} << 20;
    if ((bytes >> 10) + spare_kib <= kib)
        return {};
    return "needs " + std::to_string(bytes >> 20) + " MiB; " + std::to_string(kib >> 10) +
           " MiB are available";
}

} // namespace

Suite::Suite(Settings settings, Peers peers) : settings_(std::move(settings))
{
    if (peers == Peers::none)
        return;
    for (const std::string& name : peer_names()) {
        const auto& wanted = settings_.peers;
        if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), name) == wanted.end())
            continue;
        try {
            auto peer = make_peer(name);
            if (const auto mistake = find_mistake(*peer)) {
                std::fprintf(stderr, "suite: %s answers wrong: %s\n", name.c_str(),
                             mistake->c_str());
                std::exit(1);
            }
            if (settings_.lose_a_page && name == "floor")
                peer =
                    std::make_unique<FaultyPeer>(std::move(peer), FaultyPeer::Fault::loses_a_page);
            peers_[name] = std::move(peer);
        } catch (const Unavailable& reason) {
            unavailable_[name] = reason.what();
        }
    }
}

std::vector<Peer*> Suite::peers(std::initializer_list<std::string_view> names) const
{
    std::vector<Peer*> found;
    for (const std::string_view name : names)
        if (const auto peer = peers_.find(name); peer != peers_.end())
            found.push_back(peer->second.get());
    return found;
}

Region& Suite::region(Peer& peer, std::size_t pages)
{
    auto& region = regions_[{peer.name(), pages}];
    if (region)
        return *region;
    const auto library = peers_.find("writewatch");
    if (peer.name() == "floor" && library != peers_.end()) {
        // The two differ by what surrounds the ioctl. On the library's own memory nothing else
        // does: not where its pages and page tables happen to lie.
        region = std::make_unique<Region>(peer, this->region(*library->second, pages));
        return *region;
    }
    region = std::make_unique<Region>(peer, pages);
    region->populate();
    return *region;
}

Region* Suite::region_if_it_fits(benchmark::State& state, Peer& peer, std::size_t pages)
{
    // The floor's memory is the library's, and there once that was asked about.
    const bool there = regions_.contains({peer.name(), pages}) ||
                       (peer.name() == "floor" && regions_.contains({"writewatch", pages}));
    const std::string lack = there ? "" : too_little_memory(pages * page_size);
    if (lack.empty())
        return &region(peer, pages);
    state.SkipWithError(lack.c_str());
    return nullptr;
}

void Suite::add(std::string_view group, const std::string& parameters, std::size_t iterations,
                Body body) const
{
    const std::string name = std::string(group) + "/" + parameters;
    benchmark::RegisterBenchmark(name.c_str(), std::move(body))
        ->UseManualTime()
        ->Unit(benchmark::kNanosecond)
        ->Iterations(static_cast<benchmark::IterationCount>(iterations));
}

bool expect(benchmark::State& state, Peer& peer, bool right, const char* what)
{
    const std::string limit = peer.take_limit();
    if (!limit.empty()) {
        state.SkipWithError(limit.c_str());
        return false;
    }
    if (right)
        return true;
    // Not a case to be left out of a report: nothing that this process says can be trusted.
    std::fprintf(stderr, "suite: %s answers wrong: %s\n", std::string(peer.name()).c_str(), what);
    std::exit(1);
}

std::string too_many_mappings(const Peer& peer, std::size_t runs)
{
    if (peer.name() != "mprotect")
        return {};
    std::size_t allowed = 65'530;
    std::ifstream("/proc/sys/vm/max_map_count") >> allowed;
    const std::size_t needed = runs * 2 + 1;
    constexpr std::size_t others = 1000;
    if (needed + others <= allowed)
        return {};
    return "needs " + std::to_string(needed) + " mappings; vm.max_map_count allows " +
           std::to_string(allowed);
}

const std::vector<Group>& groups()
{
    static const std::vector<Group> list{
        {"writes", "first write to a page; write after a reset", add_writes},
        {"matrix", "get, get+reset, reset by share and shape of what was written", add_matrix},
        {"allocation", "allocating watched memory", add_allocation, 10},
        {"single-page", "ChakraCore: very many calls about one page", add_single_page},
        {"short-array", ".NET: an array of 100 entries, again from the last page", add_short_array},
        {"heap-sections", "bdwgc: 4,096 entries for each heap section", add_heap_sections},
        {"save-states", "emulators: all of the RAM, with reset, each frame", add_save_states},
        {"small-resources", "D3D12 layers: 64 KiB resources by the thousand", add_small_resources},
        {"reservation", "collectors: reserve much, commit in pieces", add_reservation, 10},
        {"threads", "threads that write while one collects", add_threads, 10},
        {"regions", "calls at random ones of many regions", add_regions},
        {"growth", "growth of cost with a region's size", add_growth},
        {"memory", "page tables, resident memory, mappings, faults", add_memory, 3},
        {"resident", "cost of being there: loading, idling", add_resident},
    };
    return list;
}

} // namespace bench
