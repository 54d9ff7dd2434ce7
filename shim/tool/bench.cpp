// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/bench.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>

#include "shim/tool/child.h"
#include "shim/tool/programs.h"

namespace writewatch::tool {

namespace {

struct BenchOptions {
    double seconds = 50;
    bool json = false;
    bool quiet = false;
};

// The program takes this process's place: its output, its signals and its end are the command's.
[[noreturn]] void execute(const BenchOptions& options)
{
    const auto program = find_own_program("bench", "writewatch-bench");
    if (!program)
        throw std::runtime_error("bench: the program writewatch-bench is neither in the build "
                                 "directory nor installed");
    std::vector<std::string> words{program->string(), "--seconds", std::to_string(options.seconds)};
    if (options.json)
        words.emplace_back("--json");
    if (options.quiet)
        words.emplace_back("--quiet");
    execv(words[0].c_str(), pointers(words).data());
    throw std::runtime_error(words[0] + ": " + std::strerror(errno));
}

} // namespace

void add_bench_command(CLI::App& app, int&)
{
    const auto options = std::make_shared<BenchOptions>();
    CLI::App* const verb = app.add_subcommand(
        "bench", "What tracking costs on this machine, against mprotect and eager arming");
    verb->add_option("--seconds", options->seconds, "time for all measurements together")
        ->check(CLI::Range(0.0, 3600.0))
        ->capture_default_str();
    verb->add_flag("--json", options->json, "print one JSON object");
    verb->add_flag("-q,--quiet", options->quiet, "no progress line");
    verb->footer("For the whole report, with more peers and patterns: scripts/bench.");
    verb->callback([options] { execute(*options); });
}

} // namespace writewatch::tool
