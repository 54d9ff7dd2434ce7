// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What it costs to have the library there: loading the preload into a process that never uses write
// watches, and the CPU time of a process that sleeps while it has watched memory.
#include <cerrno>
#include <ctime>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "tests/bench/suite/suite.h"

namespace bench {

namespace {

void start_and_end(std::vector<std::string> environment)
{
    char name[] = "/bin/true";
    char* arguments[] = {static_cast<char*>(name), nullptr};
    std::vector<char*> variables;
    variables.reserve(environment.size() + 1);
    for (std::string& variable : environment)
        variables.push_back(variable.data());
    variables.push_back(nullptr);
    pid_t child = -1;
    const int error = posix_spawn(&child, name, nullptr, nullptr, static_cast<char**>(arguments),
                                  variables.data());
    if (error != 0)
        die("/bin/true", error);
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0)
        die("/bin/true", errno);
}

double cpu_seconds()
{
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void sleep_watched(benchmark::State& state, Peer& peer, double duration)
{
    for (auto _ : state) {
        Region region(peer, 4096);
        region.populate();
        const double before = cpu_seconds();
        time_iteration(
            state, [&] { std::this_thread::sleep_for(std::chrono::duration<double>(duration)); });
        state.counters["cpu_ns"] = (cpu_seconds() - before) * 1e9;
    }
    set_operations(state, 1);
}

} // namespace

void add_resident(Suite& suite)
{
    constexpr std::size_t processes = 10;
    const std::string& preload = suite.settings().preload;
    if (!preload.empty() && access(preload.c_str(), R_OK) != 0)
        die(preload, errno);
    for (const bool preloaded : {false, true}) {
        if (preloaded && preload.empty())
            continue;
        suite.add("resident", std::string("op:process/preload:") + (preloaded ? "yes" : "no"), 1,
                  [=](benchmark::State& state) {
                      std::vector<std::string> environment;
                      if (preloaded)
                          environment.push_back("LD_PRELOAD=" + preload);
                      for (auto _ : state)
                          time_iteration(state, [&] {
                              for (std::size_t i = 0; i < processes; ++i)
                                  start_and_end(environment);
                          });
                      set_operations(state, processes);
                  });
    }
    const double duration = suite.settings().seconds;
    for (Peer* peer : suite.peers({"writewatch", "uffd-sync", "none"}))
        suite.add("resident", "peer:" + std::string(peer->name()) + "/op:idle", 1,
                  [=](benchmark::State& state) { sleep_watched(state, *peer, duration); });
}

} // namespace bench
