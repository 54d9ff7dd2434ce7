// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a call costs when there are many watched regions and each call is about another.
#include <random>

#include "tests/bench/suite/suite.h"

namespace bench {

namespace {

constexpr std::size_t region_pages = 16; // 64 KiB, Windows' smallest
constexpr std::size_t region_bytes = region_pages * page_size;
constexpr std::size_t calls = 4096;

// So many regions of a peer, each with a written page, all clean.
class Crowd {
  public:
    Crowd(Peer& peer, std::size_t count) : peer_(peer), bases_(count)
    {
        for (char*& base : bases_) {
            base = peer.allocate(region_bytes);
            write_page(base, 0, 1);
            peer.reset(base, region_bytes);
        }
        std::mt19937 random(1);
        order_.reserve(calls);
        for (std::size_t i = 0; i < calls; ++i)
            order_.push_back(bases_[random() % count]);
    }
    ~Crowd()
    {
        for (char* base : bases_)
            peer_.release(base, region_bytes);
    }
    Crowd(const Crowd&) = delete;
    Crowd& operator=(const Crowd&) = delete;

    Peer& peer() const { return peer_; }
    const std::vector<char*>& order() const { return order_; }

  private:
    Peer& peer_;
    std::vector<char*> bases_;
    std::vector<char*> order_;
};

using Crowds = std::map<std::pair<Peer*, std::size_t>, std::unique_ptr<Crowd>>;

Crowd& crowd_of(Crowds& crowds, Peer& peer, std::size_t count)
{
    auto& crowd = crowds[{&peer, count}];
    if (!crowd)
        crowd = std::make_unique<Crowd>(peer, count);
    return *crowd;
}

void ask_one_page(benchmark::State& state, const Crowd& crowd)
{
    Peer& peer = crowd.peer();
    void* page = nullptr;
    for (auto _ : state) {
        std::size_t found = 0;
        time_iteration(state, [&] {
            for (char* base : crowd.order())
                found += peer.get(base, page_size, &page, 1);
        });
        if (!expect(state, peer, found == 0, "idle regions"))
            break;
    }
    set_operations(state, calls);
}

void write_and_take(benchmark::State& state, const Crowd& crowd)
{
    Peer& peer = crowd.peer();
    void* pages[region_pages];
    for (auto _ : state) {
        std::size_t found = 0;
        time_iteration(state, [&] {
            for (char* base : crowd.order()) {
                write_page(base, 0, 1);
                found +=
                    peer.get_reset(base, region_bytes, static_cast<void**>(pages), region_pages);
            }
        });
        if (!expect(state, peer, found == calls, "regions with a written page"))
            break;
    }
    set_operations(state, calls);
}

} // namespace

void add_regions(Suite& suite)
{
    const auto crowds = std::make_shared<Crowds>();
    for (Peer* peer : suite.peers({"writewatch", "floor", "eager", "mprotect"}))
        for (const std::size_t count : suite.settings().regions) {
            const std::string where =
                "peer:" + std::string(peer->name()) + "/regions:" + std::to_string(count);
            suite.add("regions", where + "/op:get_page", 4, [=](benchmark::State& state) {
                ask_one_page(state, crowd_of(*crowds, *peer, count));
            });
            suite.add("regions", where + "/op:write_get_reset", 1, [=](benchmark::State& state) {
                write_and_take(state, crowd_of(*crowds, *peer, count));
            });
        }
}

} // namespace bench
