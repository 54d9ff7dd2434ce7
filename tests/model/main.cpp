// SPDX-License-Identifier: LGPL-2.1-or-later
// The random model test: options, rounds, the report of a failure.
#include "tests/model/call.h"
#include "tests/model/generate.h"
#include "tests/model/run.h"
#include "tests/model/shrink.h"
#include "tests/model/system.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

using namespace model;

namespace {

constexpr int exit_agrees = 0;
constexpr int exit_differs = 1;
constexpr int exit_usage = 64;
constexpr int exit_skipped = 77;

constexpr char usage[] =
    R"(usage: write-watch-model [OPTIONS]
Makes random sequences of VirtualAlloc, GetWriteWatch and the like, and compares every answer with a
model of Windows. A difference is shrunk to a short sequence of calls and printed.

  --seed N       the first round's seed (default: random; printed). Round i uses seed N + i
  --rounds N     how many sequences (default 100)
  --steps N      calls in each (default 400)
  --seconds N    start no further round after this time
  --avoid KIND   make no calls of this kind: commit decommit drop protect query read, or no
                 mistakes (repeatable)
  --replay FILE  run the calls in FILE, as a failure prints them
  --print        print the sequence of --seed and run nothing
  --break NAME   plant a mistake in the system's answers: the test must find it
  --list-breaks  the names of the mistakes
  --help         this text

Exit status: 0 system and model agree, 1 they differ, 64 bad usage, 77 no write watches here.
)";

struct Options {
    std::uint64_t seed = 0;
    std::uint64_t rounds = 100;
    std::uint64_t seconds = 0;
    std::size_t steps = 400;
    Avoid avoid;
    std::string replay;
    std::string planted;
    bool print = false;
};

[[noreturn]] void bad_usage(const std::string& message)
{
    std::fprintf(stderr, "write-watch-model: %s (see --help)\n", message.c_str());
    std::exit(exit_usage);
}

std::uint64_t number(const std::string& option, const std::string& text)
{
    try {
        std::size_t used = 0;
        const std::uint64_t value = std::stoull(text, &used, 0);
        if (used == text.size())
            return value;
    } catch (const std::exception&) {
    }
    bad_usage(option + ": '" + text + "' is no number");
}

void add_avoided(Avoid& avoid, const std::string& text)
{
    if (text == "mistakes") {
        avoid.mistakes = true;
        return;
    }
    const struct {
        const char* name;
        Kind kind;
    } kinds[] = {{"commit", Kind::commit},   {"decommit", Kind::decommit}, {"drop", Kind::drop},
                 {"protect", Kind::protect}, {"query", Kind::query},       {"read", Kind::read}};
    for (const auto& each : kinds)
        if (text == each.name) {
            avoid.kinds.insert(each.kind);
            return;
        }
    bad_usage("--avoid: unknown kind '" + text + "'");
}

Options parse_options(int argc, char** argv)
{
    Options options;
    options.seed = std::random_device{}();
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        const auto value = [&]() -> std::string {
            if (i + 1 == argc)
                bad_usage(argument + " needs a value");
            return argv[++i];
        };
        if (argument == "--seed")
            options.seed = number(argument, value());
        else if (argument == "--rounds")
            options.rounds = number(argument, value());
        else if (argument == "--steps")
            options.steps = static_cast<std::size_t>(number(argument, value()));
        else if (argument == "--seconds")
            options.seconds = number(argument, value());
        else if (argument == "--avoid")
            add_avoided(options.avoid, value());
        else if (argument == "--replay")
            options.replay = value();
        else if (argument == "--print")
            options.print = true;
        else if (argument == "--break") {
            options.planted = value();
            bool known = false;
            for (const char* const each : System::breaks())
                known = known || options.planted == each;
            if (!known)
                bad_usage("--break: unknown name '" + options.planted + "'");
        } else if (argument == "--list-breaks") {
            for (const char* const each : System::breaks())
                std::printf("%s\n", each);
            std::exit(exit_agrees);
        } else if (argument == "--help" || argument == "-h") {
            std::fputs(usage, stdout);
            std::exit(exit_agrees);
        } else
            bad_usage("unknown argument " + argument);
    }
    return options;
}

void skip_if_unavailable()
{
    void* const probe = VirtualAlloc(nullptr, page_size, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH,
                                     PAGE_READWRITE);
    if (probe) {
        VirtualFree(probe, 0, MEM_RELEASE);
        return;
    }
    // Only a backend that needs a kernel may be missing, and CI forbids that. Any other error than
    // ERROR_NOT_SUPPORTED is broken, not missing.
    const DWORD error = GetLastError();
    const char* const backend = std::getenv("WRITEWATCH_BACKEND");
    const char* const required = std::getenv("WRITEWATCH_TEST_REQUIRE");
    const bool may_skip = error == 50 && backend && std::strcmp(backend, "pagemap-scan") == 0 &&
                          !(required && std::strcmp(required, backend) == 0);
    std::fprintf(stderr,
                 "write-watch-model: %s: VirtualAlloc with MEM_WRITE_WATCH fails with error %lu\n",
                 may_skip ? "skipped" : "failed", static_cast<unsigned long>(error));
    std::exit(may_skip ? exit_skipped : exit_differs);
}

void report(const Sequence& failing, const Mismatch& mismatch, const Options& options)
{
    Statistics statistics;
    const Sequence cut(failing.begin(),
                       failing.begin() + static_cast<std::ptrdiff_t>(mismatch.call + 1));
    const Sequence small = shrink(cut, [&](const Sequence& sequence) {
        return run(sequence, options.planted, statistics).has_value();
    });
    const std::optional<Mismatch> last = run(small, options.planted, statistics);
    std::printf("shrunk to %zu calls:\n%s// %s\n", small.size(), to_text(small).c_str(),
                last ? last->message.c_str() : "does not fail every time");
}

int replay(const Options& options)
{
    std::ifstream file(options.replay);
    if (!file)
        bad_usage("--replay: cannot read " + options.replay);
    std::stringstream text;
    text << file.rdbuf();
    Sequence sequence;
    try {
        sequence = parse(text.str());
    } catch (const std::exception& e) {
        bad_usage(std::string("--replay: ") + e.what());
    }
    Statistics statistics;
    if (const std::optional<Mismatch> mismatch = run(sequence, options.planted, statistics)) {
        std::printf("call %zu: %s\n%s\n", mismatch->call + 1,
                    to_text(sequence[mismatch->call]).c_str(), mismatch->message.c_str());
        return exit_differs;
    }
    std::printf("%llu calls agree\n", static_cast<unsigned long long>(statistics.calls));
    return exit_agrees;
}

int run_rounds(const Options& options)
{
    const auto start = std::chrono::steady_clock::now();
    Statistics statistics;
    std::uint64_t round = 0;
    std::printf("seed %llu, %llu rounds of %zu calls\n",
                static_cast<unsigned long long>(options.seed),
                static_cast<unsigned long long>(options.rounds), options.steps);
    std::fflush(stdout); // before anything can crash
    for (; round < options.rounds; ++round) {
        if (options.seconds != 0 &&
            std::chrono::steady_clock::now() - start > std::chrono::seconds(options.seconds))
            break;
        const std::uint64_t seed = options.seed + round;
        const Sequence sequence = generate(seed, options.steps, options.avoid);
        if (const std::optional<Mismatch> mismatch = run(sequence, options.planted, statistics)) {
            std::printf("seed %llu, call %zu: %s\n%s\n", static_cast<unsigned long long>(seed),
                        mismatch->call + 1, mismatch->message.c_str(),
                        to_text(sequence[mismatch->call]).c_str());
            std::fflush(stdout);
            report(sequence, *mismatch, options);
            return exit_differs;
        }
    }
    std::printf("%llu rounds agree: %llu calls, %llu pages returned\n",
                static_cast<unsigned long long>(round),
                static_cast<unsigned long long>(statistics.calls),
                static_cast<unsigned long long>(statistics.pages));
    // A run that compared nothing is no success.
    return statistics.pages != 0 || options.rounds == 0 ? exit_agrees : exit_differs;
}

} // namespace

int main(int argc, char** argv)
{
    const Options options = parse_options(argc, argv);
    if (options.print) {
        std::fputs(to_text(generate(options.seed, options.steps, options.avoid)).c_str(), stdout);
        return exit_agrees;
    }
    skip_if_unavailable();
    return options.replay.empty() ? run_rounds(options) : replay(options);
}
