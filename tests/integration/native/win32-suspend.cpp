// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A collector suspends the world, by a signal that stops each thread in its handler, and then calls
// GetWriteWatch, VirtualAlloc and the rest itself. Whatever the stopped threads were in the middle
// of, nobody may wait for them.
#include "tests/support/catch.h"
#include "tests/support/futex.h"

#include <writewatch/win32.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <pthread.h>
#include <random>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
    // In a child: this process must start the library under test by itself.
    const pid_t child = fork();
    if (child == 0)
        _exit(VirtualAlloc(nullptr, 1, MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE) == nullptr);
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0)
        return Missing{std::getenv("WRITEWATCH_BACKEND"), "MEM_WRITE_WATCH is refused"};
    return std::nullopt;
}

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t pages = 64;
constexpr DWORD watched = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH;

std::atomic<unsigned> world{0}; // odd: stopped
std::atomic<unsigned> stopped{0};

void stop_here(int)
{
    const int saved = errno;
    const unsigned now = world;
    if (now % 2 != 0) {
        ++stopped;
        wake_all(stopped);
        wait_while(world, now);
    }
    errno = saved;
}

void stop_world(const std::vector<pthread_t>& threads)
{
    stopped = 0;
    ++world;
    for (const pthread_t thread : threads)
        pthread_kill(thread, SIGUSR1);
    for (unsigned now = stopped; now != threads.size(); now = stopped)
        wait_while(stopped, now);
}

void resume_world()
{
    ++world;
    wake_all(world);
}

void install()
{
    struct sigaction action = {};
    action.sa_handler = stop_here;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
}

// Everything that a collector calls with the world stopped. True when all answered.
bool collect(char* heap)
{
    void* found[pages];
    ULONG_PTR count = pages;
    ULONG granularity = 0;
    if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, heap, pages * page, found, &count, &granularity) != 0)
        return false;
    auto* const own = static_cast<char*>(VirtualAlloc(nullptr, 2 * page, watched, PAGE_READWRITE));
    if (own == nullptr)
        return false;
    own[page] = 1;
    DWORD old = 0;
    count = 2;
    return VirtualProtect(own, page, PAGE_READONLY, &old) == TRUE &&
           GetWriteWatch(0, own, 2 * page, found, &count, &granularity) == 0 && count == 1 &&
           ResetWriteWatch(own, 2 * page) == 0 && VirtualFree(own, 0, MEM_RELEASE) == TRUE;
}

} // namespace

// The library starts at the first call. A thread that is stopped in there must not keep the others
// out. Each round is a process of its own (and comes
// before anything else here calls the library); the pause differs.
TEST_CASE("a thread stopped in the library's start blocks nobody", "[native][win32][suspend]")
{
    for (int round = 0; round < 100; ++round) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            alarm(20);
            install();
            std::atomic<bool> running{false};
            std::thread first([&] {
                running = true;
                void* const own = VirtualAlloc(nullptr, page, watched, PAGE_READWRITE);
                VirtualFree(own, 0, MEM_RELEASE);
                while (running)
                    std::this_thread::yield();
            });
            while (!running)
                std::this_thread::yield();
            const auto until =
                std::chrono::steady_clock::now() + std::chrono::microseconds(5 * round);
            while (std::chrono::steady_clock::now() < until) {
            }
            stop_world({first.native_handle()});
            void* const own = VirtualAlloc(nullptr, page, watched, PAGE_READWRITE);
            resume_world();
            running = false;
            first.join();
            _exit(own == nullptr);
        }
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        CAPTURE(round);
        REQUIRE(status == 0);
    }
}

TEST_CASE("threads stopped anywhere in the library block nobody", "[native][win32][suspend]")
{
    const char* const long_mode = std::getenv("WRITEWATCH_STRESS_ROUNDS");
    const long rounds = long_mode != nullptr ? std::atol(long_mode) : 10'000;
    install();
    auto* const heap =
        static_cast<char*>(VirtualAlloc(nullptr, pages * page, watched, PAGE_READWRITE));
    REQUIRE(heap != nullptr);

    std::atomic<bool> stop{false};
    std::atomic<unsigned> bad{0};
    std::vector<std::thread> workers;
    std::vector<pthread_t> threads;
    for (int i = 0; i < 3; ++i) {
        workers.emplace_back([&, i] {
            while (!stop) {
                if (i == 0)
                    bad += !collect(heap);
                heap[static_cast<std::size_t>(i) * page] = 1;
                auto* const own =
                    static_cast<char*>(VirtualAlloc(nullptr, 8 * page, watched, PAGE_READWRITE));
                bad += own == nullptr;
                if (own != nullptr) {
                    own[3 * page] = 1;
                    bad += ResetWriteWatch(own, 8 * page) != 0;
                    bad += VirtualFree(own + page, page, MEM_DECOMMIT) != TRUE;
                    bad += VirtualFree(own, 0, MEM_RELEASE) != TRUE;
                }
            }
        });
        threads.push_back(workers.back().native_handle());
    }
    std::atomic<long> done{0};
    std::thread watchdog([&] {
        long last = -1;
        for (int idle = 0; !stop; ++idle) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            if (done != last) {
                last = done;
                idle = 0;
            }
            if (idle > 300) {
                std::fprintf(stderr, "deadlock in round %ld\n", last);
                std::fflush(nullptr);
                _exit(1);
            }
        }
    });
    long failed = 0;
    for (; done < rounds; ++done) {
        stop_world(threads);
        failed += !collect(heap);
        resume_world();
    }
    stop = true;
    for (std::thread& worker : workers)
        worker.join();
    watchdog.join();
    CHECK(failed == 0);
    CHECK(bad == 0);
    CHECK(VirtualFree(heap, 0, MEM_RELEASE) == TRUE);
}
