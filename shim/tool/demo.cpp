// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/demo.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "shim/tool/demo_runs.h"

namespace writewatch::tool {

namespace {

// A column of the table: a field of the collector's result, in nanoseconds, and how to show it.
struct Column {
    const char* head;
    const char* second_head;
    const char* field;
    double scale;
    int digits;
    const char* unit;
};

constexpr Column columns[] = {
    {"write to a", "clean page", "write_ns", 1e3, 2, "us"},
    {"get+reset of", "every 4th page", "get_reset_ns", 1e6, 2, "ms"},
    {"collecting", "in all", "total_ns", 1e6, 0, "ms"},
    {"pause", "(median)", "pause_p50_ns", 1e6, 2, "ms"},
};

double number(const DemoRun& run, const char* field)
{
    return run.result.is_null() ? 0 : run.result.value(field, 0.0);
}

void print_head()
{
    std::printf("%-21s", "");
    for (const Column& column : columns)
        std::printf(" %-15s", column.head);
    std::printf(" %s\n%-21s", "pages found", "");
    for (const Column& column : columns)
        std::printf(" %-15s", column.second_head);
    std::printf(" %-15s %s\n", "of written", "snapshot");
}

std::string cell(const Column& column, double value, double baseline)
{
    char text[40];
    const int length = std::snprintf(text, sizeof text, "%.*f %s", column.digits,
                                     value / column.scale, column.unit);
    if (baseline > 0 && value > 0) {
        const double ratio = baseline / value;
        std::snprintf(text + length, sizeof text - static_cast<std::size_t>(length), " %.*fx",
                      ratio < 100 ? 1 : 0, ratio);
    }
    return text;
}

void print_row(const DemoRun& run, const DemoRun& stock)
{
    std::printf("%-21s", run.title.c_str());
    for (const Column& column : columns) {
        const double baseline = &run == &stock ? 0 : number(stock, column.field);
        std::printf(" %-15s", cell(column, number(run, column.field), baseline).c_str());
    }
    char found[48];
    std::snprintf(found, sizeof found, "%.0f of %.0f", number(run, "pages_found"),
                  number(run, "pages_written"));
    std::printf(" %-15s %s\n", found,
                run.result.value("snapshot_equal", false) ? "equal" : "NOT EQUAL");
}

void print_table(const DemoOptions& options, const std::vector<DemoRun>& runs)
{
    std::printf(
        "A collector keeps a snapshot of a %u MiB heap (%zu pages) current by GetWriteWatch,\n"
        "while %u threads write to the heap; %u collections. \"x\": times as fast as stock "
        "Wine.\n\n",
        options.heap_mib, (std::size_t{options.heap_mib} << 20) / 4096, options.threads,
        options.rounds);
    print_head();
    for (const DemoRun& run : runs)
        if (!run.result.is_null())
            print_row(run, runs.front());
    for (const DemoRun& run : runs) {
        if (run.reason.empty())
            continue;
        std::printf("\n%s: %s%s\n", run.title.c_str(),
                    run.failed ? "FAILED: " : "not shown: ", run.reason.c_str());
        if (!run.remedy.empty())
            std::printf("    to get it: %s\n", run.remedy.c_str());
    }
    // What chose the backend says so itself.
    const char* separator = "\n";
    for (const DemoRun& run : runs) {
        if (run.active.empty())
            continue;
        std::printf("%s%-21s %s\n", separator, run.title.c_str(), run.active.c_str());
        separator = "";
    }
}

void print_json(const std::vector<DemoRun>& runs)
{
    nlohmann::json document{{"schema", "writewatch.demo/1"}};
    for (const DemoRun& run : runs) {
        nlohmann::json& entry = document["runs"][run.key];
        entry["result"] = run.result;
        entry["failed"] = run.failed;
        if (!run.active.empty())
            entry["active"] = run.active;
        if (!run.reason.empty())
            entry["reason"] = run.reason;
        if (!run.remedy.empty())
            entry["remedy"] = run.remedy;
    }
    std::printf("%s\n", document.dump(2).c_str());
}

} // namespace

int run_demo(const DemoOptions& options)
{
    const std::vector<DemoRun> runs = run_collectors(options);
    if (options.json)
        print_json(runs);
    else
        print_table(options, runs);
    const bool failed =
        std::any_of(runs.begin(), runs.end(), [](const DemoRun& run) { return run.failed; });
    return failed ? 1 : 0;
}

void add_demo_command(CLI::App& app, int& exit_code)
{
    const auto options = std::make_shared<DemoOptions>();
    CLI::App* const demo = app.add_subcommand(
        "demo", "A collector's snapshot of a heap under stock Wine, with writewatch, and natively");
    demo->add_option("--heap", options->heap_mib, "size of the heap in MiB")
        ->check(CLI::Range(1, 65536))
        ->capture_default_str();
    demo->add_option("--threads", options->threads, "threads that write")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    demo->add_option("--rounds", options->rounds, "collections")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    demo->add_option("--seed", options->seed, "seed of the writes")->capture_default_str();
    demo->add_option("--timeout", options->timeout_s, "seconds that each of the runs may take")
        ->check(CLI::Range(1, 86400))
        ->capture_default_str();
    demo->add_option("--wine", options->wine, "Wine's loader")->capture_default_str();
    demo->add_flag("--json", options->json, "print one JSON object");
    demo->callback([options, &exit_code] { exit_code = run_demo(*options); });
}

} // namespace writewatch::tool
