// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Several threads get and reset the same region at once: each write is reported to one of them, or
// to a later call, and never to none.
//
// Writers own pages. A writer writes some of its pages once, and waits until every collector has
// begun and finished a sweep since: by then whoever got a page has counted it. No count may be
// zero. While pages are being latched one may be late: a collector may hold a page that it is about
// to give back (docs/deviations.md). Such a page is not written again, and must be counted before
// the end.
//
// A count of two is rare, but not wrong. The first write to a clean page faults; the kernel notes
// it and lets the instruction run again. A reset that comes between the two reports the page, and
// the instruction faults, and is reported, once more. In the first half of the time there is no
// other reason for it, and it must stay below one in a hundred (with mprotect, where a system call
// lies between the two and three threads reset all the time, below one in two; on an emulated
// processor, where the two are further apart, below one in twenty, --again 20); in the second half
// another thread latches all the time (VirtualProtect with the same protection), which may report a
// page again as well.
//
// Usage: stress-share-out [--seconds N] [--threads N] [--again N]
//
// Exit status 0: so it was; 1: not; 77: no backend. WRITEWATCH_BACKEND chooses it.
#include "tests/stress/options.h"
#include "tests/stress/require.h"

#include <writewatch/win32.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t collectors = 3;
constexpr std::size_t pages_per_writer = 512;

std::atomic<bool> stop{false};
std::atomic<bool> latching{false};
std::atomic<bool> ever_latched{false};
std::atomic<std::uint64_t> sweeps[collectors];
std::vector<std::atomic<std::uint32_t>> reported;
char* region = nullptr;
std::size_t region_pages = 0;
std::atomic<std::uint64_t> writes{0}, lost{0}, late{0}, repeated{0}, latches{0};

struct Write {
    std::size_t page;
    std::uint32_t before; // how often it had been reported

    bool is_reported() const { return reported[page] != before; }
};

// Gets and resets the whole region, so many pages at a time.
void sweep(std::size_t capacity)
{
    std::vector<void*> found(capacity);
    for (std::size_t first = 0; first < region_pages;) {
        ULONG_PTR count = capacity;
        ULONG granularity = 0;
        if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, region + first * page,
                          (region_pages - first) * page, found.data(), &count, &granularity) != 0) {
            std::fprintf(stderr, "FAILED: GetWriteWatch: error %u\n", GetLastError());
            std::_Exit(1);
        }
        for (ULONG_PTR i = 0; i < count; ++i)
            ++reported[static_cast<std::size_t>(static_cast<char*>(found[i]) - region) / page];
        if (count < capacity)
            break;
        first = static_cast<std::size_t>(static_cast<char*>(found[count - 1]) - region) / page + 1;
    }
}

void collect_all_the_time(std::size_t self)
{
    constexpr std::size_t capacities[] = {1, 3, 100, 512, 5000};
    for (std::uint64_t round = self; !stop; ++round) {
        sweep(capacities[round % std::size(capacities)]);
        ++sweeps[self];
    }
}

void wait_for_sweeps()
{
    std::uint64_t before[collectors];
    for (std::size_t i = 0; i < collectors; ++i)
        before[i] = sweeps[i];
    for (std::size_t i = 0; i < collectors; ++i) {
        // The sweep that is under way may have passed the page; the next one has not.
        while (sweeps[i] < before[i] + 2 && !stop)
            std::this_thread::yield();
    }
}

void write_and_check(std::size_t self, std::vector<Write>& overdue)
{
    std::uint64_t random = self * 2 + 1;
    std::vector<Write> batch;
    while (!stop) {
        std::erase_if(overdue, [](const Write& write) { return write.is_reported(); });
        const bool latched_before = latching;
        batch.clear();
        for (std::size_t i = 0; i < pages_per_writer; ++i) {
            random = random * 6364136223846793005ULL + 1442695040888963407ULL;
            if ((random >> 40) % 4 != 0)
                continue;
            const std::size_t number = self * pages_per_writer + i;
            if (std::any_of(overdue.begin(), overdue.end(),
                            [number](const Write& write) { return write.page == number; }))
                continue;
            batch.push_back({number, reported[number]});
            __atomic_fetch_add(region + number * page + (random >> 50) % page, 1, __ATOMIC_SEQ_CST);
        }
        wait_for_sweeps();
        if (stop)
            return; // the sweeps may not have come
        for (const Write& write : batch) {
            const std::uint32_t times = reported[write.page] - write.before;
            repeated += times > 1 && !latched_before && !ever_latched;
            if (times != 0)
                continue;
            overdue.push_back(write);
            if (ever_latched)
                ++late;
            else
                ++lost;
        }
        writes += batch.size();
    }
}

void latch_all_the_time()
{
    std::uint64_t random = 12345;
    while (!stop) {
        if (!latching) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
            continue;
        }
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        const std::size_t first = (random >> 33) % region_pages;
        const std::size_t count = 1 + (random >> 20) % (region_pages - first);
        DWORD old = 0;
        if (!VirtualProtect(region + first * page, count * page, PAGE_READWRITE, &old)) {
            std::fprintf(stderr, "FAILED: VirtualProtect: error %u\n", GetLastError());
            std::_Exit(1);
        }
        ++latches;
        std::this_thread::yield();
    }
}

} // namespace

int main(int argc, char** argv)
{
    long seconds = 20;
    std::size_t writers = 3;
    const char* const backend = std::getenv("WRITEWATCH_BACKEND");
    const bool by_faults = backend != nullptr && std::strcmp(backend, "mprotect") == 0;
    std::uint64_t again = by_faults ? 2 : 100;
    CLI::App app("Several threads get and reset; each write is reported to one of them");
    app.add_option("--seconds", seconds, "how long")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--threads", writers, "that write")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--again", again, "at most one write in so many may be reported twice")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    if (const auto status = stress::parse(app, argc, argv))
        return *status;
    region_pages = writers * pages_per_writer;
    region = static_cast<char*>(VirtualAlloc(
        nullptr, region_pages * page, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE));
    if (region == nullptr)
        return stress::no_backend();
    reported = std::vector<std::atomic<std::uint32_t>>(region_pages);

    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < collectors; ++i)
        threads.emplace_back(collect_all_the_time, i);
    std::vector<std::vector<Write>> overdue(writers);
    for (std::size_t i = 0; i < writers; ++i)
        threads.emplace_back(write_and_check, i, std::ref(overdue[i]));
    threads.emplace_back(latch_all_the_time);
    std::this_thread::sleep_for(std::chrono::milliseconds(seconds * 500));
    const std::uint64_t exact = writes;
    ever_latched = true;
    latching = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(seconds * 500));
    stop = true;
    for (std::thread& thread : threads)
        thread.join();
    sweep(5000);
    for (const std::vector<Write>& writes_of_one : overdue)
        lost += static_cast<std::uint64_t>(
            std::count_if(writes_of_one.begin(), writes_of_one.end(),
                          [](const Write& write) { return !write.is_reported(); }));

    std::printf("%lu writes (%lu of them without latches), %zu collectors with %lu sweeps, %lu "
                "latches: %lu lost, %lu late, %lu reported again\n",
                writes.load(), exact, collectors,
                sweeps[0].load() + sweeps[1].load() + sweeps[2].load(), latches.load(), lost.load(),
                late.load(), repeated.load());
    if (exact == 0 || writes == exact || latches == 0) {
        std::fprintf(stderr, "FAILED: some part of the test never ran\n");
        return 1;
    }
    if (lost != 0 || late * 1000 > writes || repeated * again > exact) {
        std::fprintf(stderr, "FAILED: writes lost, or too many late or reported again\n");
        return 1;
    }
    return 0;
}
