// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The native benches' program: one group of cases in a process, for all peers, in random order.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "tests/bench/suite/suite.h"

namespace {

// Progress on a terminal: which of how many repetitions. The results go to the file.
class Progress : public benchmark::BenchmarkReporter {
  public:
    bool ReportContext(const Context&) override { return true; }
    void ReportRuns(const std::vector<Run>& runs) override
    {
        ++cases_;
        for (const Run& run : runs)
            if (run.error_occurred && run.repetition_index == 0)
                std::fprintf(stderr, "%s: left out: %s\n", run.benchmark_name().c_str(),
                             run.error_message.c_str());
        if (isatty(STDERR_FILENO))
            std::fprintf(stderr, "\r%zu cases done ", cases_);
    }
    void Finalize() override
    {
        if (isatty(STDERR_FILENO))
            std::fputs("\n", stderr);
    }

  private:
    std::size_t cases_ = 0;
};

void choose_full(bench::Settings& settings)
{
    settings.pages = 65'536;
    settings.frame_mib = {64, 256, 1024, 4096};
    settings.threads = {1, 2, 4, 8};
    settings.regions = {1, 10, 100, 1000, 10'000, 30'000};
    settings.resources = 4096;
    settings.reserve_gib = 256;
    settings.reserved_mib = 65'536;
    settings.populated_mib = 4096;
    settings.seconds = 0.2;
}

// Everything runs, nothing is measured well: that the suite works and its answers are right.
void choose_smoke(bench::Settings& settings)
{
    settings.pages = 4096;
    settings.permille = {0, 10, 500};
    settings.frame_mib = {16};
    settings.threads = {1, 8};
    settings.regions = {1, 100};
    settings.reserve_gib = 1;
    settings.reserved_mib = 64;
    settings.populated_mib = 16;
    settings.seconds = 0.01;
    settings.resources = 64;
    settings.crowd = 200;
}

std::string group_help()
{
    std::string text = "Groups:\n";
    for (const bench::Group& group : bench::groups()) {
        std::string name = group.name;
        name.resize(17, ' ');
        text += "  " + name + group.client + "\n";
    }
    return text;
}

} // namespace

int main(int argc, char** argv)
{
    std::string group_name;
    std::string mode = "quick";
    std::string out;
    std::string filter = ".";
    unsigned repetitions = 0;
    bench::Settings given; // by hand; empty: as the mode says
    given.pages = 0;
    given.permille.clear();
    given.frame_mib.clear();
    given.threads.clear();
    given.regions.clear();
    given.reserve_gib = given.reserved_mib = given.populated_mib = 0;
    given.seconds = 0;

    CLI::App app{"One group of native benches; results as Google Benchmark's JSON."};
    app.footer(group_help());
    app.add_option("GROUP", group_name)->required();
    app.add_option("--mode", mode, "sizes and repetitions: quick, full, smoke")
        ->check(CLI::IsMember({"quick", "full", "smoke"}))
        ->capture_default_str();
    app.add_option("--out", out, "file for the results")->required();
    app.add_option("--filter", filter, "only cases whose name matches this regular expression");
    app.add_option("--repetitions", repetitions, "of each case");
    app.add_option("--peers", given.peers, "only these")->delimiter(',');
    app.add_option("--pages", given.pages, "of the region in most patterns");
    app.add_option("--permille", given.permille, "shares of written pages")->delimiter(',');
    app.add_option("--frame-mib", given.frame_mib, "sizes of the RAM to save")->delimiter(',');
    app.add_option("--threads", given.threads, "numbers of writing threads")->delimiter(',');
    app.add_option("--regions", given.regions, "numbers of regions")->delimiter(',');
    app.add_option("--reserve-gib", given.reserve_gib, "size of the large reservation");
    app.add_option("--reserved-mib", given.reserved_mib, "growth: largest untouched region");
    app.add_option("--populated-mib", given.populated_mib, "growth: largest populated region");
    app.add_option("--seconds", given.seconds, "that the threads run in a repetition");
    app.add_option("--preload", given.preload, "libwritewatch-wine.so, for its load time");
    app.add_flag("--lose-a-page", given.lose_a_page,
                 "let the floor's answers lose a page, to show that it is noticed (exit 1)");
    CLI11_PARSE(app, argc, argv);

    const bench::Group* group = nullptr;
    for (const bench::Group& candidate : bench::groups())
        if (group_name == candidate.name)
            group = &candidate;
    if (!group) {
        std::fprintf(stderr, "suite: no group '%s'\n%s", group_name.c_str(), group_help().c_str());
        return 64;
    }

    bench::Settings settings;
    if (mode == "full")
        choose_full(settings);
    else if (mode == "smoke")
        choose_smoke(settings);
    const auto override_with = [](auto& value, const auto& by_hand) {
        if (by_hand != std::decay_t<decltype(by_hand)>{})
            value = by_hand;
    };
    override_with(settings.peers, given.peers);
    override_with(settings.pages, given.pages);
    override_with(settings.permille, given.permille);
    override_with(settings.frame_mib, given.frame_mib);
    override_with(settings.threads, given.threads);
    override_with(settings.regions, given.regions);
    override_with(settings.reserve_gib, given.reserve_gib);
    override_with(settings.reserved_mib, given.reserved_mib);
    override_with(settings.populated_mib, given.populated_mib);
    override_with(settings.seconds, given.seconds);
    override_with(settings.preload, given.preload);
    override_with(settings.lose_a_page, given.lose_a_page);
    if (repetitions == 0)
        repetitions = std::min(group->most_repetitions, mode == "smoke"  ? 2U
                                                        : mode == "full" ? 21U
                                                                         : 10U);

    std::vector<std::string> words{
        "suite",
        "--benchmark_filter=" + filter,
        "--benchmark_out=" + out,
        "--benchmark_out_format=json",
        "--benchmark_enable_random_interleaving=true",
        "--benchmark_repetitions=" + std::to_string(repetitions),
    };
    std::vector<char*> arguments;
    arguments.reserve(words.size());
    for (std::string& word : words)
        arguments.push_back(word.data());
    int count = static_cast<int>(arguments.size());
    benchmark::Initialize(&count, arguments.data());

    // Memory is measured in children that make their peers themselves.
    bench::Suite suite(settings, group_name == "memory" ? bench::Suite::Peers::none
                                                        : bench::Suite::Peers::all);
    for (const auto& [name, reason] : suite.unavailable()) {
        std::fprintf(stderr, "%s: not available here: %s\n", name.c_str(), reason.c_str());
        benchmark::AddCustomContext("unavailable:" + name, reason);
    }
    benchmark::AddCustomContext("mode", mode);
    benchmark::AddCustomContext("client", group->client);
    for (const std::string& name : bench::peer_names())
        benchmark::AddCustomContext("peer:" + name, bench::peer_description(name));
    group->add(suite);
    Progress progress;
    if (benchmark::RunSpecifiedBenchmarks(&progress) == 0) {
        std::fprintf(stderr, "suite: no case matches\n");
        return 1;
    }
    benchmark::ClearRegisteredBenchmarks(); // cases keep regions of the suite's peers
    benchmark::Shutdown();
    return 0;
}
