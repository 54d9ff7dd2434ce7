// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Processes start, watch memory, and end, are killed or call exec, while others read the registry
// in a loop: no row that is wrong, nothing left behind, nothing of a live process removed.
//
// Usage: storm [PROCESSES]       default 300
#include "shim/registry/reader.h"
#include "shim/sys/log.h"

#include <writewatch/win32.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace writewatch;
using namespace std::chrono_literals;

constexpr std::size_t region_pages = 16;
constexpr std::size_t regions_each = 3;

std::atomic<int> failures{0};

void fail_with(const std::string& what)
{
    std::fprintf(stderr, "failed: %s\n", what.c_str());
    ++failures;
}

enum class End { by_itself, at_once, killed, exec };

// In the child, which has never used the library before. Each says one byte when its first region
// is watched, and ends when it is told to.
[[noreturn]] void live(End end, int say, int wait)
{
    for (std::size_t i = 0; i < regions_each; ++i) {
        auto* const base = static_cast<char*>(
            VirtualAlloc(nullptr, region_pages * 4096, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH,
                         PAGE_READWRITE));
        if (base == nullptr)
            _exit(3);
        base[0] = 1;
        void* pages[4];
        ULONG_PTR count = 4;
        ULONG granularity = 0;
        if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, base, region_pages * 4096, pages, &count,
                          &granularity) != 0 ||
            count != 1)
            _exit(4);
        if (i == 0 && write(say, "x", 1) != 1)
            _exit(5);
    }
    if (end == End::at_once)
        _exit(0);
    char byte = 0;
    while (read(wait, &byte, 1) < 0) {
    }
    if (end == End::exec) {
        execlp("sleep", "sleep", "0.05", nullptr);
        _exit(6);
    }
    std::exit(0); // as main's return: the library's destructor runs
}

struct Life {
    std::chrono::steady_clock::time_point begun;
    bool reaped = false;
};

std::mutex mutex;
std::map<pid_t, Life> lives; // of all children so far

void check_row(const registry::ProcessInfo& row, const std::set<pid_t>& reaped_before)
{
    const std::string who = "pid " + std::to_string(row.pid);
    if (reaped_before.contains(row.pid))
        fail_with(who + " was listed after its end");
    if (row.regions.size() > regions_each)
        fail_with(who + " has " + std::to_string(row.regions.size()) + " regions");
    for (const registry::RegionInfo& region : row.regions) {
        if (region.range.pages() != region_pages || region.protection != PAGE_READWRITE ||
            region.counters.gets != 0 || region.counters.gets_with_reset > 1 ||
            region.counters.pages > region.counters.gets_with_reset)
            fail_with(who + " has a region that nobody made");
    }
    if (row.host != registry::Host::native_win32 || row.image.find("storm") == std::string::npos)
        fail_with(who + " is somebody else");
}

std::size_t read_registry(std::size_t& rows)
{
    std::set<pid_t> reaped;
    std::set<pid_t> ours;
    {
        const std::scoped_lock lock(mutex);
        for (const auto& [pid, life] : lives) {
            ours.insert(pid);
            if (life.reaped)
                reaped.insert(pid);
        }
    }
    const auto listing = registry::list();
    if (!listing) {
        fail_with("list: " + describe(listing.error()));
        return 0;
    }
    for (const registry::ProcessInfo& row : listing->processes) {
        if (!ours.contains(row.pid))
            continue; // another test's, or one that has begun since
        ++rows;
        check_row(row, reaped);
    }
    for (const registry::SkippedSegment& skipped : listing->skipped) {
        for (const pid_t pid : ours) {
            if (skipped.segment.find("." + std::to_string(pid) + ".") != std::string::npos)
                fail_with("skipped " + skipped.segment + ": " + skipped.reason);
        }
    }
    return listing->swept;
}

// A child's life from its parent's side. While it lives, and says that it watches, it must be
// listed.
void one_process(End end, std::mt19937& random)
{
    int up[2];
    int down[2];
    if (pipe(up) != 0 || pipe(down) != 0) {
        fail_with("pipe");
        return;
    }
    pid_t pid = 0;
    {
        const std::scoped_lock lock(mutex);
        pid = fork();
        if (pid == 0) {
            close(up[0]);
            close(down[1]);
            live(end, up[1], down[0]);
        }
        lives[pid] = {std::chrono::steady_clock::now(), false};
    }
    close(up[1]);
    close(down[0]);
    char byte = 0;
    if (read(up[0], &byte, 1) != 1)
        fail_with("a process ended before it watched anything");
    if (end != End::at_once) {
        const auto found = registry::read_process(pid);
        if (!found || found->size() != 1)
            fail_with("pid " + std::to_string(pid) + " lives and is not listed");
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    }
    if (end == End::killed)
        kill(pid, SIGKILL);
    if (write(down[1], "x", 1) != 1 && end != End::killed && end != End::at_once)
        fail_with("tell a process to end");
    int status = 0;
    waitpid(pid, &status, 0);
    {
        const std::scoped_lock lock(mutex);
        lives[pid].reaped = true;
    }
    if (end == End::killed ? !WIFSIGNALED(status) : !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_with("a process ended with status " + std::to_string(status));
    close(up[0]);
    close(down[1]);
}

} // namespace

int main(int argc, char** argv)
{
    if (const auto listing = registry::list(); !listing) {
        std::fprintf(stderr, "skipped: no shared memory: %s\n", describe(listing.error()).c_str());
        return 77;
    }
    std::signal(SIGPIPE, SIG_IGN);
    const int processes = argc > 1 ? std::atoi(argv[1]) : 300;
    std::atomic<bool> done{false};
    std::atomic<int> left{processes};
    std::size_t rows[2] = {};
    std::size_t swept[2] = {};
    std::size_t calls[2] = {};
    std::vector<std::thread> threads;
    threads.reserve(2);
    for (int reader = 0; reader < 2; ++reader) {
        threads.emplace_back([&, reader] {
            while (!done) {
                swept[reader] += read_registry(rows[reader]);
                ++calls[reader];
            }
        });
    }
    std::vector<std::thread> parents;
    for (unsigned i = 0; i < 4; ++i) {
        parents.emplace_back([&, i] {
            std::mt19937 random(i);
            while (left-- > 0)
                one_process(static_cast<End>(random() % 4), random);
        });
    }
    for (std::thread& parent : parents)
        parent.join();
    done = true;
    for (std::thread& thread : threads)
        thread.join();

    // Nothing is left after the next call.
    std::size_t last_rows = 0;
    (void)read_registry(last_rows);
    if (last_rows != 0)
        fail_with(std::to_string(last_rows) + " rows at the end");
    for (const auto& [pid, life] : lives) {
        if (!registry::segments_of(pid).empty())
            fail_with("a segment of pid " + std::to_string(pid) + " is left");
    }
    std::printf("%d processes; %zu listings saw %zu rows and swept %zu segments\n", processes,
                calls[0] + calls[1], rows[0] + rows[1], swept[0] + swept[1]);
    if (rows[0] + rows[1] == 0)
        fail_with("the readers saw nobody");
    return failures == 0 ? 0 : 1;
}
