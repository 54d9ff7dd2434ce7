// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Threads that write while one collects: what the collector costs the writers, and how long its
// calls take. Each writer stores into pages of a 32 MiB heap in random order, without rest: every
// page that was reset costs it a fault. The collector is not there ("none"), asks at 60 Hz
// ("frames"), or asks again as soon as it has its answer ("loop", the worst case).
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>

#include "tests/bench/suite/suite.h"

namespace bench {

namespace {

constexpr std::size_t heap_pages = 8192;

enum class Collector { none, frames, loop };

class Writers {
  public:
    Writers(char* base, unsigned count)
    {
        for (unsigned i = 0; i < count; ++i)
            threads_.emplace_back([this, base, i] { write(base, i); });
    }
    // Ends them; the number of their writes.
    std::uint64_t stop()
    {
        stop_ = true;
        for (std::thread& thread : threads_)
            thread.join();
        return writes_;
    }

  private:
    void write(char* base, unsigned seed)
    {
        std::uint64_t random = 88172645463325252ULL + seed * 7919;
        std::uint64_t writes = 0;
        while (!stop_.load(std::memory_order_relaxed)) {
            for (int i = 0; i < 64; ++i) {
                random ^= random << 13; // xorshift64
                random ^= random >> 7;
                random ^= random << 17;
                write_page(base, random % heap_pages, static_cast<char>(random));
            }
            writes += 64;
        }
        writes_ += writes;
    }

    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> writes_{0};
    std::vector<std::thread> threads_;
};

double quantile(std::vector<double>& values, double share)
{
    const auto rank = static_cast<std::ptrdiff_t>(static_cast<double>(values.size() - 1) * share);
    std::nth_element(values.begin(), values.begin() + rank, values.end());
    return values[static_cast<std::size_t>(rank)];
}

// The latencies of the collector's calls, in seconds.
std::vector<double> collect(Region& region, Collector collector, Clock::time_point end)
{
    constexpr std::chrono::microseconds frame{16'667};
    std::vector<double> latencies;
    for (auto next = Clock::now() + frame; Clock::now() < end; next += frame) {
        if (collector != Collector::loop)
            std::this_thread::sleep_until(std::min(next, end));
        if (collector == Collector::none)
            continue;
        latencies.push_back(seconds_of([&] {
            region.peer().get_reset(region.base(), region.bytes(), region.found(), region.pages());
        }));
    }
    return latencies;
}

void run(benchmark::State& state, Region& region, unsigned threads, Collector collector,
         double duration)
{
    Peer& peer = region.peer();
    for (auto _ : state) {
        // All writable at the start: what is measured is the steady state.
        for (std::size_t page = 0; page < region.pages(); ++page)
            write_page(region.base(), page, 1);
        Writers writers(region.base(), threads);
        const auto start = Clock::now();
        std::vector<double> latencies =
            collect(region, collector,
                    start + std::chrono::duration_cast<Clock::duration>(
                                std::chrono::duration<double>(duration)));
        const std::uint64_t writes = writers.stop();
        const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
        state.SetIterationTime(elapsed);
        state.counters["writes_per_s"] = static_cast<double>(writes) / elapsed;
        if (!latencies.empty()) {
            state.counters["gets"] = static_cast<double>(latencies.size());
            state.counters["get_p50_ns"] = quantile(latencies, 0.5) * 1e9;
            state.counters["get_p99_ns"] = quantile(latencies, 0.99) * 1e9;
        }
        // Nothing was lost or invented underneath.
        peer.reset(region.base(), region.bytes());
        const Dirt dirt(region.pages(), 100, Shape::scattered);
        dirt.write(region.base(), 1);
        const std::size_t found =
            peer.get_reset(region.base(), region.bytes(), region.found(), region.pages());
        if (!expect(state, peer,
                    !peer.answers() || dirt.matches(region.base(), region.found(), found),
                    "after the threads' end"))
            break;
    }
    set_operations(state, 1);
}

} // namespace

void add_threads(Suite& suite)
{
    constexpr std::pair<Collector, const char*> collectors[] = {
        {Collector::none, "none"}, {Collector::frames, "frames"}, {Collector::loop, "loop"}};
    const double duration = suite.settings().seconds;
    for (Peer* peer : suite.peers({"writewatch", "floor", "eager", "mprotect", "none"}))
        for (const auto& [collector, name] : collectors) {
            if (collector != Collector::none && !peer->answers())
                continue;
            for (const unsigned threads : suite.settings().threads)
                suite.add("threads",
                          "peer:" + std::string(peer->name()) + "/collector:" + name +
                              "/threads:" + std::to_string(threads),
                          1, [=, &suite, collector = collector](benchmark::State& state) {
                              run(state, suite.region(*peer, heap_pages), threads, collector,
                                  duration);
                          });
        }
}

} // namespace bench
