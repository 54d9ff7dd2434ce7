// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What tracking costs in memory, each case in a process of its own, so that nothing is counted that
// an earlier one left behind.
#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/bench/figures.h"
#include "tests/bench/suite/suite.h"

namespace bench {

namespace {

struct Answer {
    Figures figures;               // what the case added
    double first_kib = 0;          // resident memory that the peer's first region added
    std::array<char, 160> limit{}; // why there is no answer
};

enum class Case { untouched, reserved, populated, quarter, half, crowd };

constexpr std::size_t region_bytes = 65'536;

struct Named {
    Case what;
    const char* name;
};
constexpr Named cases[] = {
    {Case::untouched, "untouched_1gib"}, {Case::reserved, "reserved"},
    {Case::populated, "populated"},      {Case::quarter, "every_4th_written"},
    {Case::half, "every_2nd_written"},   {Case::crowd, "small_regions"},
};

void write_after_reset(Region& region, unsigned permille)
{
    region.populate();
    Dirt(region.pages(), permille, Shape::scattered).write(region.base(), 1);
}

Figures exact_figures()
{
    Figures figures = current_figures();
    figures.resident_kib = exact_resident_kib();
    return figures;
}

// In the child.
Answer measure(Peer& peer, Case what, const Settings& settings)
{
    Answer answer;
    const double before_first = exact_resident_kib();
    peer.allocate(region_bytes);
    const Figures before = exact_figures();
    answer.first_kib = before.resident_kib - before_first;
    const auto measured = [&] { answer.figures = exact_figures() - before; };
    switch (what) {
    case Case::untouched:
        peer.allocate(std::size_t{1} << 30);
        measured();
        break;
    case Case::reserved:
        peer.reserve(settings.reserve_gib << 30);
        measured();
        break;
    case Case::crowd:
        for (std::size_t i = 0; i < settings.crowd; ++i)
            peer.allocate(region_bytes);
        measured();
        break;
    case Case::populated:
    case Case::quarter:
    case Case::half: {
        Region region(peer, settings.pages);
        if (what == Case::populated)
            region.populate();
        else
            write_after_reset(region, what == Case::quarter ? 250 : 500);
        measured();
        break;
    }
    }
    const std::string limit = peer.take_limit();
    limit.copy(answer.limit.data(), answer.limit.size() - 1);
    return answer;
}

// Nothing: the peer does not run here.
std::optional<Answer> measure_in_child(const std::string& name, Case what, const Settings& settings)
{
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe", errno);
    const pid_t child = fork();
    if (child < 0)
        die("fork", errno);
    if (child == 0) {
        try {
            const auto peer = make_peer(name);
            const Answer answer = measure(*peer, what, settings);
            if (write(ends[1], &answer, sizeof answer) != sizeof answer)
                _exit(1);
            _exit(0);
        } catch (const Unavailable&) {
            _exit(77);
        }
    }
    close(ends[1]);
    Answer answer;
    const bool whole = read(ends[0], &answer, sizeof answer) == sizeof answer;
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (whole)
        return answer;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        return std::nullopt;
    std::fprintf(stderr, "suite: %s: a child that measures memory ended with %d\n", name.c_str(),
                 status);
    std::exit(1);
}

void run(benchmark::State& state, const std::string& name, Case what, const Settings& settings)
{
    for (auto _ : state) {
        std::optional<Answer> answer;
        time_iteration(state, [&] { answer = measure_in_child(name, what, settings); });
        if (!answer || answer->limit[0] != '\0') {
            state.SkipWithError(answer ? answer->limit.data() : "not available here");
            return;
        }
        state.counters["page_tables_kib"] = answer->figures.page_tables_kib;
        state.counters["resident_kib"] = answer->figures.resident_kib;
        state.counters["mappings"] = answer->figures.mappings;
        state.counters["faults"] = answer->figures.faults;
        state.counters["first_region_kib"] = answer->first_kib;
        if (what == Case::crowd)
            state.counters["bytes_per_region"] =
                answer->figures.resident_kib * 1024 / static_cast<double>(settings.crowd);
    }
}

} // namespace

void add_memory(Suite& suite)
{
    const Settings& settings = suite.settings();
    for (const std::string name : {"writewatch", "floor", "eager", "mprotect", "uffd-sync", "none"})
        for (const Named& each : cases) {
            // Minutes of faults for figures that are the eager peer's.
            if (name == "uffd-sync" && (each.what == Case::populated ||
                                        each.what == Case::quarter || each.what == Case::half))
                continue;
            suite.add("memory", "peer:" + name + "/case:" + each.name, 1,
                      [=, what = each.what](benchmark::State& state) {
                          run(state, name, what, settings);
                      });
        }
}

} // namespace bench
