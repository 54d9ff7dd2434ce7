// SPDX-License-Identifier: LGPL-2.1-or-later
//
// get, get+reset and reset of one populated region, by the share of pages that were written and
// their shape.
#include <algorithm>

#include "tests/bench/suite/suite.h"

namespace bench {

namespace {

enum class Op { get, get_reset, reset };

void measure(benchmark::State& state, Region& region, const Dirt& dirt, Op op)
{
    Peer& peer = region.peer();
    char* const base = region.base();
    const std::size_t bytes = region.bytes();
    char value = 1;
    const auto call = [&]() -> std::size_t {
        switch (op) {
        case Op::get:
            return peer.get(base, bytes, region.found(), region.pages());
        case Op::get_reset:
            return peer.get_reset(base, bytes, region.found(), region.pages());
        case Op::reset:
            peer.reset(base, bytes);
            break;
        }
        return 0;
    };
    const auto right = [&](std::size_t found) {
        // All pages are clean when it returns. Asked for after each reset only: costs a scan.
        if (op == Op::reset)
            return peer.get(base, bytes, region.found(), region.pages()) == 0;
        return dirt.matches(base, region.found(), found);
    };
    // Once without being timed, for caches and for the array of results.
    dirt.write(base, value);
    if (!expect(state, peer, right(call()), "the first answer"))
        return;
    for (auto _ : state) {
        if (op != Op::get)
            dirt.write(base, ++value);
        std::size_t found = 0;
        time_iteration(state, [&] { found = call(); });
        if (!expect(state, peer, right(found), "pages found"))
            break;
    }
    peer.reset(base, bytes);
    set_operations(state, 1);
    state.counters["written"] = static_cast<double>(dirt.count());
}

void add_case(Suite& suite, Peer& peer, Op op, unsigned permille, Shape shape)
{
    constexpr const char* names[] = {"get", "get_reset", "reset"};
    const std::size_t pages = suite.settings().pages;
    const Dirt dirt(pages, permille, shape);
    // In a quiet case the calls are short, and there is nothing to write between them.
    const std::size_t iterations = op == Op::get || dirt.count() < 100 ? 8 : 2;
    suite.add("matrix",
              "peer:" + std::string(peer.name()) + "/op:" + names[static_cast<int>(op)] +
                  "/shape:" + std::string(to_string(shape)) +
                  "/permille:" + std::to_string(permille) + "/pages:" + std::to_string(pages),
              iterations, [=, &suite, &peer](benchmark::State& state) {
                  const std::string limit = too_many_mappings(peer, dirt.runs());
                  if (limit.empty())
                      measure(state, suite.region(peer, pages), dirt, op);
                  else
                      state.SkipWithError(limit.c_str());
              });
}

} // namespace

void add_matrix(Suite& suite)
{
    for (Peer* peer :
         suite.peers({"writewatch", "floor", "eager", "mprotect", "uffd-sync", "soft-dirty"})) {
        // Its handler thread takes tens of microseconds for each write between the calls.
        const unsigned most = peer->name() == "uffd-sync" ? 10 : 1000;
        for (const Op op : {Op::get, Op::get_reset, Op::reset})
            for (const Shape shape : {Shape::scattered, Shape::clustered})
                for (const unsigned permille : suite.settings().permille) {
                    // Nothing and everything have one shape.
                    const bool has_shape = permille > 0 && permille < 1000;
                    if (permille <= most && (shape == Shape::scattered || has_shape))
                        add_case(suite, *peer, op, permille, shape);
                }
    }
}

} // namespace bench
