// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The program behind `writewatch bench`: what tracking costs on this machine, with this library and
// with the designs that programs use otherwise. A program of its own and not part of the command,
// so that it meets the library as users' programs do: as the shared object, through the Win32
// names.
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <sys/utsname.h>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "shim/bench/interleave.h"
#include "shim/bench/patterns.h"
#include "shim/bench/verify.h"

namespace {

using namespace bench;

struct Options {
    double seconds = 50; // for all patterns together
    bool json = false;
    bool quiet = false;
};

struct Row {
    Pattern pattern;
    std::vector<Variant> variants;
};

struct Run {
    std::map<std::string, std::unique_ptr<Peer>> peers;
    std::vector<std::pair<std::string, std::string>> missing; // peer, reason
    std::vector<Row> rows;
};

constexpr const char* compared[] = {"writewatch", "eager", "mprotect"};

class Progress {
  public:
    explicit Progress(const Options& options)
        : shown_(!options.json && !options.quiet && isatty(STDERR_FILENO) == 1)
    {}
    void step(std::size_t done, std::size_t all, const std::string& what) const
    {
        if (shown_)
            std::fprintf(stderr, "\r\033[K%zu/%zu %s", done, all, what.c_str());
    }
    void end() const
    {
        if (shown_)
            std::fputs("\r\033[K", stderr);
    }

  private:
    bool shown_;
};

// Each peer's answers are compared with what was written before it is timed.
void make_peers(Run& run)
{
    for (const char* const name : compared) {
        try {
            auto peer = make_peer(name);
            if (const auto mistake = find_mistake(*peer))
                throw WrongAnswer(std::string(name) + ": " + *mistake);
            run.peers[name] = std::move(peer);
        } catch (const Unavailable& reason) {
            run.missing.emplace_back(name, reason.what());
        }
    }
}

void measure(Run& run, const Options& options)
{
    const Progress progress(options);
    progress.step(0, 0, "checking answers");
    make_peers(run);
    const std::vector<Pattern> all = patterns();
    const double seconds = options.seconds / static_cast<double>(all.size());
    for (const Pattern& pattern : all) {
        progress.step(run.rows.size() + 1, all.size(), pattern.title);
        Row row{pattern, {}};
        for (const char* const name : compared)
            if (const auto peer = run.peers.find(name); peer != run.peers.end())
                row.variants.push_back({name, pattern.prepare(*peer->second)});
        interleave(row.variants, seconds, 5);
        for (Variant& variant : row.variants)
            variant.sample = nullptr; // its memory is not needed any more
        run.rows.push_back(std::move(row));
    }
    progress.end();
}

const Variant* find(const Row& row, const char* name)
{
    for (const Variant& variant : row.variants)
        if (variant.name == name)
            return &variant;
    return nullptr;
}

std::string duration(double ns)
{
    const char* unit = "ns";
    for (const char* const next : {"us", "ms", "s"}) {
        if (ns < 1000)
            break;
        ns /= 1000;
        unit = next;
    }
    char text[32];
    std::snprintf(text, sizeof text, "%.*f %s", ns < 10 ? 2 : ns < 100 ? 1 : 0, ns, unit);
    return text;
}

std::string kernel()
{
    utsname name{};
    return uname(&name) == 0 ? name.release : "unknown";
}

void print_table(const Run& run)
{
    std::printf(
        "Kernel %s. Medians; \"x\": how many times as fast writewatch is (below 1: slower).\n"
        "mprotect is the design of Wine up to 10.6, eager arming that of Wine 10.7 and newer,\n"
        "each as a short program without the rest of Wine.\n\n",
        kernel().c_str());
    std::printf("%-44s %12s", "", "writewatch");
    for (const char* const name : {"mprotect", "eager"})
        if (run.peers.contains(name))
            std::printf(" %20s", name);
    std::printf("\n");
    for (const Row& row : run.rows) {
        const Variant* const ours = find(row, "writewatch");
        const double median = ours ? ours->quantile(0.5) : 0;
        std::printf("%-44s %12s", row.pattern.title.c_str(), ours ? duration(median).c_str() : "-");
        for (const char* const name : {"mprotect", "eager"}) {
            const Variant* const other = find(row, name);
            if (!other)
                continue;
            const double theirs = other->quantile(0.5);
            std::printf(" %12s", duration(theirs).c_str());
            if (median > 0)
                std::printf(" %6.*fx", theirs / median < 10 ? 2 : 0, theirs / median);
        }
        std::printf("\n");
    }
    for (const auto& [name, reason] : run.missing)
        std::printf("\n%s: not measured: %s\n", name.c_str(), reason.c_str());
}

void print_json(const Run& run)
{
    nlohmann::ordered_json document{{"schema", "writewatch.bench/1"}, {"kernel", kernel()}};
    nlohmann::ordered_json& rows = document["patterns"] = nlohmann::ordered_json::array();
    for (const Row& row : run.rows) {
        nlohmann::ordered_json entry{{"name", row.pattern.name}};
        for (const Variant& variant : row.variants)
            entry["peers"][variant.name] = {{"samples", variant.samples.size()},
                                            {"median_ns", variant.quantile(0.5)},
                                            {"p25_ns", variant.quantile(0.25)},
                                            {"p75_ns", variant.quantile(0.75)}};
        rows.push_back(std::move(entry));
    }
    nlohmann::ordered_json& missing = document["missing"] = nlohmann::ordered_json::object();
    for (const auto& [name, reason] : run.missing)
        missing[name] = reason;
    std::printf("%s\n", document.dump(2).c_str());
}

} // namespace

int main(int argc, char** argv)
{
    Options options;
    CLI::App app{"What tracking costs on this machine; use `writewatch bench`."};
    app.add_option("--seconds", options.seconds)->check(CLI::Range(0.0, 3600.0));
    app.add_flag("--json", options.json);
    app.add_flag("-q,--quiet", options.quiet);
    CLI11_PARSE(app, argc, argv);
    try {
        Run run;
        measure(run, options);
        if (options.json)
            print_json(run);
        else
            print_table(run);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "writewatch: bench: %s\n", error.what());
        return 1;
    }
    return 0;
}
