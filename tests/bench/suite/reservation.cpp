// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Collectors reserve much address space with a watch, commit pieces of it over time, and ask about
// all of it.
#include <algorithm>

#include "shim/bench/figures.h"
#include "tests/bench/suite/suite.h"

namespace bench {

namespace {

constexpr std::size_t pieces = 256;
constexpr std::size_t piece_bytes = std::size_t{1} << 20;

// A reservation with pieces at equal distances.
class Reservation {
  public:
    Reservation(Peer& peer, std::size_t bytes) : peer_(peer), bytes_(bytes)
    {
        base_ = peer.reserve(bytes);
    }
    ~Reservation() { peer_.release(base_, bytes_); }
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;

    char* base() const { return base_; }
    char* piece(std::size_t i) const { return base_ + i * (bytes_ / pieces); }

  private:
    Peer& peer_;
    std::size_t bytes_;
    char* base_;
};

void reserve(benchmark::State& state, Peer& peer, std::size_t bytes)
{
    double page_tables = 0;
    for (auto _ : state) {
        const Figures before = current_figures();
        char* base = nullptr;
        time_iteration(state, [&] { base = peer.reserve(bytes); });
        page_tables = (current_figures() - before).page_tables_kib;
        peer.release(base, bytes);
    }
    set_operations(state, 1);
    state.counters["page_tables_kib"] = page_tables;
}

void commit(benchmark::State& state, Peer& peer, std::size_t bytes)
{
    for (auto _ : state) {
        const Reservation reservation(peer, bytes);
        time_iteration(state, [&] {
            for (std::size_t i = 0; i < pieces; ++i)
                peer.commit(reservation.piece(i), piece_bytes);
        });
    }
    set_operations(state, pieces);
}

// One page of each piece is written; one call about the whole reservation.
void ask(benchmark::State& state, Peer& peer, std::size_t bytes)
{
    void* found[pieces];
    for (auto _ : state) {
        const Reservation reservation(peer, bytes);
        for (std::size_t i = 0; i < pieces; ++i) {
            peer.commit(reservation.piece(i), piece_bytes);
            write_page(reservation.piece(i), 7, 1);
        }
        std::size_t count = 0;
        time_iteration(state, [&] {
            count = peer.get_reset(reservation.base(), bytes, static_cast<void**>(found), pieces);
        });
        if (!expect(state, peer, count == pieces, "a reservation"))
            break;
    }
    set_operations(state, 1);
}

} // namespace

void add_reservation(Suite& suite)
{
    const std::size_t gib = suite.settings().reserve_gib;
    const std::size_t bytes = gib << 30;
    for (Peer* peer : suite.peers({"writewatch", "floor", "eager", "mprotect"})) {
        const std::string where =
            "peer:" + std::string(peer->name()) + "/gib:" + std::to_string(gib);
        suite.add("reservation", where + "/op:reserve", 1,
                  [=](benchmark::State& state) { reserve(state, *peer, bytes); });
        suite.add("reservation", where + "/op:commit", 1,
                  [=](benchmark::State& state) { commit(state, *peer, bytes); });
        suite.add("reservation", where + "/op:get_reset", 1,
                  [=](benchmark::State& state) { ask(state, *peer, bytes); });
    }
}

} // namespace bench
