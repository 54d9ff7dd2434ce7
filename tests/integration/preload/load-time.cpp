// SPDX-License-Identifier: LGPL-2.1-or-later
//
// load-time PRELOAD: what the preload costs and says in a process that is not Wine's. Runs
// /bin/true with and without it, alternating, and compares the medians of the times.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr int rounds = 101;
constexpr double limit_ms = 2.0;

// Runs /bin/true with its output in a file; returns milliseconds, or a negative number.
double run(char* const* environment, const char* output)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    char name[] = "/bin/true";
    char* const arguments[] = {name, nullptr};
    const auto start = std::chrono::steady_clock::now();
    pid_t child = 0;
    const bool spawned = posix_spawn(&child, name, &actions, nullptr, arguments, environment) == 0;
    int status = 0;
    if (spawned)
        waitpid(child, &status, 0);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    posix_spawn_file_actions_destroy(&actions);
    return spawned && status == 0 ? took.count() : -1;
}

double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 2) {
        std::fprintf(stderr, "usage: load-time PRELOAD\n");
        return 64;
    }
    std::string preload = std::string("LD_PRELOAD=") + argv[1];
    std::string log = "WRITEWATCH_LOG=debug";
    char* const with[] = {preload.data(), log.data(), nullptr};
    char* const without[] = {log.data(), nullptr};
    char output[] = "/tmp/writewatch-load-time-XXXXXX";
    const int file = mkstemp(output);

    std::vector<double> with_times;
    std::vector<double> without_times;
    for (int i = 0; i < rounds; ++i) {
        with_times.push_back(run(with, output));
        without_times.push_back(run(without, output));
        if (with_times.back() < 0 || without_times.back() < 0) {
            std::fprintf(stderr, "/bin/true did not run\n");
            return 1;
        }
    }
    const off_t said = lseek(file, 0, SEEK_END);
    unlink(output);

    const double cost = median(with_times) - median(without_times);
    std::printf("load time of the preload: %.3f ms (median of %d, /bin/true alone: %.3f ms)\n",
                cost, rounds, median(without_times));
    if (cost > limit_ms) {
        std::fprintf(stderr, "more than %.1f ms\n", limit_ms);
        return 1;
    }
    if (said != 0) {
        std::fprintf(stderr, "it wrote something\n");
        return 1;
    }
    return 0;
}
