// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The heart of the contract: two threads write, drop and re-protect pages while a third gets and
// resets with vectors of different lengths. A reader that copies what is reported, as a collector
// does, ends every round with a true copy; and when all is quiet, nothing is reported.
#include "support.h"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <ctime>
#include <random>
#include <thread>

using namespace kerneltest;

namespace {

constexpr std::size_t page_count = 256;
constexpr std::size_t writer_count = 2;
constexpr int writes_per_round = 400;
constexpr int seconds = 4;

// One word per page is enough to see a lost write.
std::uint64_t word(const Memory& memory, std::size_t page)
{
    return __atomic_load_n(reinterpret_cast<std::uint64_t*>(memory.page(page)), __ATOMIC_RELAXED);
}

} // namespace

int main()
{
    const Tracker tracker;
    const Memory memory(page_count);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);

    std::vector<std::uint64_t> copy(page_count);
    std::barrier barrier(writer_count + 1);
    std::atomic<std::size_t> writing{0};
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> writes{0};

    // Writer `self` owns every writer_count-th page.
    const auto writer = [&](std::size_t self) {
        std::mt19937 random(static_cast<std::uint32_t>(self) + 1);
        std::uint64_t value = self;
        for (;;) {
            barrier.arrive_and_wait();
            if (stop)
                return;
            for (int i = 0; i < writes_per_round; ++i) {
                const std::size_t page =
                    random() % (page_count / writer_count) * writer_count + self;
                const unsigned kind = random() % 64;
                if (kind == 0) {
                    memory.advise(MADV_DONTNEED, page, 1); // content 0, then written below
                } else if (kind == 1) {
                    memory.protect(PROT_READ, page, 1);
                    memory.protect(PROT_READ | PROT_WRITE, page, 1);
                } else if (kind == 2) {
                    memory.read(page);
                }
                value += writer_count;
                __atomic_store_n(reinterpret_cast<std::uint64_t*>(memory.page(page)), value,
                                 __ATOMIC_RELAXED);
            }
            writes += writes_per_round;
            --writing;
            barrier.arrive_and_wait();
        }
    };
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < writer_count; ++i)
        threads.emplace_back(writer, i);

    PageRegion vec[512];
    std::uint64_t scans = 0;
    // Copies after the reset: a write that comes later is reported again.
    const auto collect = [&](std::size_t vec_length) {
        PmScanArg arg = scan_arg(memory.start(), memory.size(), qualified, pm_scan_wp_matching);
        set_vec(arg, vec, vec_length);
        for (;;) {
            const int count = tracker.scan(arg);
            ++scans;
            if (count < 0)
                die("PAGEMAP_SCAN");
            for (int i = 0; i < count; ++i)
                for (std::uint64_t at = vec[i].start; at < vec[i].end; at += page_size) {
                    const std::size_t page =
                        (at - reinterpret_cast<std::uintptr_t>(memory.start())) / page_size;
                    copy[page] = word(memory, page);
                }
            if (static_cast<std::size_t>(count) < vec_length || arg.walk_end >= arg.end)
                return;
            arg.start = arg.walk_end;
        }
    };

    const std::time_t end = std::time(nullptr) + seconds;
    std::size_t rounds = 0;
    constexpr std::size_t lengths[] = {1, 7, 512};
    while (std::time(nullptr) < end && failures == 0) {
        writing = writer_count;
        barrier.arrive_and_wait();
        for (std::size_t call = rounds; writing != 0; ++call)
            collect(lengths[call % 3]);
        barrier.arrive_and_wait();
        collect(512);
        std::size_t lost = 0;
        for (std::size_t page = 0; page < page_count; ++page)
            lost += copy[page] != word(memory, page);
        CHECK_EQ(lost, 0);
        CHECK_PAGES(tracker.get(memory), {});
        ++rounds;
    }
    stop = true;
    barrier.arrive_and_wait();
    for (std::thread& thread : threads)
        thread.join();
    note("%zu rounds, %llu writes, %llu scans", rounds,
         static_cast<unsigned long long>(writes.load()), static_cast<unsigned long long>(scans));
    return finish();
}
