// SPDX-License-Identifier: LGPL-2.1-or-later
// Several threads at once.
#include "ask.h"
#include "memory.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

using namespace conformance;

namespace {

/// Joins its threads whatever happens in the rule: an exception must not leave them running.
class Threads {
  public:
    ~Threads() { join(); }

    template<typename Body> void start(Body body) { threads_.emplace_back(body); }

    void join()
    {
        stop = true;
        for (std::thread& each : threads_)
            if (each.joinable())
                each.join();
    }

    std::atomic<bool> stop{false};

  private:
    std::vector<std::thread> threads_;
};

constexpr auto short_while = std::chrono::milliseconds(300);

} // namespace

RULE(threads, one_of_two_releases_wins, "Microsoft Learn: VirtualFree")
{
    for (int round = 0; round < 100; ++round) {
        void* const base = VirtualAlloc(nullptr, 16 * page_size, committed, PAGE_READWRITE);
        require("VirtualAlloc succeeds", base != nullptr);
        store(static_cast<std::byte*>(base));
        std::atomic<unsigned> ready{0};
        std::atomic<unsigned> released{0};
        Threads threads;
        for (int i = 0; i < 2; ++i)
            threads.start([&] {
                ++ready;
                while (ready < 2)
                    std::this_thread::yield();
                if (VirtualFree(base, 0, MEM_RELEASE))
                    ++released;
            });
        threads.join();
        if (!check_equal("successful releases", released.load(), 1U))
            return;
    }
}

RULE(threads, question_during_a_release, "Microsoft Learn: GetWriteWatch")
{
    constexpr std::size_t pages = 16;
    void* at = nullptr;
    {
        Region place(pages);
        at = place.base();
    }
    std::atomic<unsigned> strange{0};
    std::atomic<unsigned> outside{0};
    Threads threads;
    threads.start([&] {
        while (!threads.stop) {
            void* addresses[pages];
            ULONG_PTR count = pages;
            ULONG granularity = 0;
            const UINT result = GetWriteWatch(WRITE_WATCH_FLAG_RESET, at, pages * page_size,
                                              addresses, &count, &granularity);
            if (result != 0 && GetLastError() != ERROR_INVALID_PARAMETER)
                ++strange;
            for (ULONG_PTR i = 0; result == 0 && i < count; ++i)
                if (addresses[i] < at ||
                    addresses[i] >= static_cast<std::byte*>(at) + pages * page_size)
                    ++outside;
        }
    });
    for (int round = 0; round < 500; ++round) {
        void* const base = VirtualAlloc(at, pages * page_size, committed, PAGE_READWRITE);
        if (!base)
            continue; // another thread of the process took the place for a moment
        for (std::size_t i = 0; i < pages; ++i)
            store(static_cast<std::byte*>(base) + i * page_size);
        VirtualFree(base, 0, MEM_RELEASE);
    }
    threads.join();
    check_equal("answers that were neither success nor invalid parameter", strange.load(), 0U);
    check_equal("entries outside the region", outside.load(), 0U);
}

RULE(threads, no_write_is_lost_between_resets, "contract 1: under any interleaving of threads")
{
    // Whoever copies the pages that each GetWriteWatch returns ends with an exact copy.
    constexpr std::size_t pages = 64;
    Region region(pages);
    std::vector<std::byte> copy(region.size());
    Threads threads;
    for (std::size_t writer = 0; writer < 2; ++writer)
        threads.start([&region, &threads, writer] {
            std::uint32_t random = 1 + static_cast<std::uint32_t>(writer);
            for (std::uint32_t value = 1; !threads.stop; ++value) {
                random = random * 1664525 + 1013904223;
                // Each writer has its own eight bytes of every page.
                auto* const word = reinterpret_cast<std::uint64_t*>(
                    region.page((random >> 8) % pages, 64 * (1 + writer)));
                std::atomic_ref(*word).store(value, std::memory_order_relaxed);
            }
        });

    const auto copy_written = [&] {
        for (const std::size_t page : region.take())
            for (std::size_t offset = 0; offset < page_size; offset += sizeof(std::uint64_t)) {
                auto* const word = reinterpret_cast<std::uint64_t*>(region.page(page, offset));
                const std::uint64_t value = std::atomic_ref(*word).load(std::memory_order_relaxed);
                std::memcpy(copy.data() + page * page_size + offset, &value, sizeof value);
            }
    };
    const auto end = std::chrono::steady_clock::now() + short_while;
    while (std::chrono::steady_clock::now() < end)
        copy_written();
    threads.join();
    copy_written();
    check("memory and copy are equal", std::memcmp(copy.data(), region.base(), region.size()) == 0);
    check_equal("pages reported at the end", region.written(), Pages{});
}

RULE(threads, two_collectors_miss_nothing,
     "contract 1: each write is reported to a caller with reset")
{
    constexpr std::size_t pages = 512;
    Region region(pages);
    for (int round = 0; round < 20; ++round) {
        region.write_all();
        std::vector<std::atomic<unsigned>> seen(pages);
        std::atomic<unsigned> ready{0};
        std::atomic<unsigned> failures{0};
        Threads threads;
        for (int i = 0; i < 2; ++i)
            threads.start([&] {
                ++ready;
                while (ready < 2)
                    std::this_thread::yield();
                for (;;) {
                    void* addresses[32];
                    ULONG_PTR count = 32;
                    ULONG granularity = 0;
                    if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, region.base(), region.size(),
                                      addresses, &count, &granularity) != 0)
                        ++failures;
                    else
                        for (ULONG_PTR k = 0; k < count; ++k)
                            ++seen[static_cast<std::size_t>(static_cast<std::byte*>(addresses[k]) -
                                                            region.base()) /
                                   page_size];
                    if (count == 0 || failures)
                        return;
                }
            });
        threads.join();
        require("no call fails", failures == 0);
        std::size_t missed = 0;
        for (const std::atomic<unsigned>& each : seen)
            missed += each == 0;
        if (!check_equal("pages that no collector saw", missed, std::size_t{0}) ||
            !check_equal("pages reported afterwards", region.written(), Pages{}))
            return;
    }
}

RULE(threads, each_with_its_own_region, "Microsoft Learn: GetWriteWatch")
{
    std::atomic<unsigned> wrong{0};
    Threads threads;
    for (std::size_t i = 0; i < 4; ++i)
        threads.start([&wrong, i] {
            for (int round = 0; round < 50; ++round) {
                auto* const base = static_cast<std::byte*>(
                    VirtualAlloc(nullptr, 16 * page_size, committed, PAGE_READWRITE));
                if (!base) {
                    ++wrong;
                    return;
                }
                store(base + i * page_size);
                void* addresses[16];
                ULONG_PTR count = 16;
                ULONG granularity = 0;
                if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, base, 16 * page_size, addresses, &count,
                                  &granularity) != 0 ||
                    count != 1 || addresses[0] != base + i * page_size)
                    ++wrong;
                VirtualFree(base, 0, MEM_RELEASE);
            }
        });
    threads.join();
    check_equal("wrong answers", wrong.load(), 0U);
}

RULE(threads, last_error_is_per_thread, "Microsoft Learn: GetLastError")
{
    // Starting and joining a thread may set this thread's last error: both stay outside.
    std::atomic<bool> go{false};
    std::atomic<bool> done{false};
    DWORD other = 0;
    Threads threads;
    threads.start([&] {
        while (!go)
            std::this_thread::yield();
        ResetWriteWatch(nullptr, 0);
        other = GetLastError();
        done = true;
    });
    SetLastError(12345);
    go = true;
    while (!done)
        std::this_thread::yield();
    const DWORD own = GetLastError();
    threads.join();
    check_equal("last error of the thread that failed", Error{other},
                Error{ERROR_INVALID_PARAMETER});
    check_equal("last error of this thread", Error{own}, Error{12345});
}

#ifdef _WIN32

RULE(threads, suspended_reader_blocks_nobody,
     "Microsoft Learn: SuspendThread; collectors suspend the world and ask")
{
    Region region(64);
    Region other(64);
    struct Reader {
        Region* region;
        std::atomic<bool> stop{false};
        static DWORD WINAPI run(void* argument)
        {
            auto* const self = static_cast<Reader*>(argument);
            while (!self->stop) {
                self->region->write(5);
                void* addresses[64];
                ULONG_PTR count = 64;
                ULONG granularity = 0;
                GetWriteWatch(WRITE_WATCH_FLAG_RESET, self->region->base(), self->region->size(),
                              addresses, &count, &granularity);
            }
            return 0;
        }
    } state{&region};
    const HANDLE thread = CreateThread(nullptr, 0, Reader::run, &state, 0, nullptr);
    require("CreateThread succeeds", thread != nullptr);
    for (unsigned round = 0; round < 300; ++round) {
        require("SuspendThread succeeds", SuspendThread(thread) != ~DWORD{0});
        other.write(round % 64);
        check_equal("pages of this thread's region", other.take(), Pages{round % 64});
        region.written();
        ResumeThread(thread);
        std::this_thread::yield();
    }
    state.stop = true;
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

#else

NOT_APPLICABLE(threads, suspended_reader_blocks_nobody, "SuspendThread is Windows'")

#endif
