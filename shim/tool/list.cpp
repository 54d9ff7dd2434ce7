// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/list.h"

#include "shim/tool/clock.h"
#include "shim/tool/exit_status.h"
#include "shim/tool/processes.h"
#include "shim/tool/text.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>

namespace writewatch::tool {

namespace {

using registry::ProcessInfo;
using registry::RegionInfo;

// Regions of a process that are shown without --all: the largest.
constexpr std::size_t few_regions = 12;

std::string age_text(std::uint64_t created, std::uint64_t now)
{
    return created == 0 || created > now ? "-" : human_time(static_cast<double>(now - created));
}

std::vector<RegionInfo> chosen_regions(const ProcessInfo& process, bool all)
{
    std::vector<RegionInfo> regions = process.regions;
    if (all || regions.size() <= few_regions)
        return regions;
    std::stable_sort(regions.begin(), regions.end(), [](const RegionInfo& a, const RegionInfo& b) {
        return a.range.bytes() > b.range.bytes();
    });
    regions.resize(few_regions);
    std::sort(regions.begin(), regions.end(), [](const RegionInfo& a, const RegionInfo& b) {
        return a.range.start < b.range.start;
    });
    return regions;
}

void print_process(const ProcessInfo& process, bool all, std::uint64_t now)
{
    fmt::print("{} {}", process.pid, printable(process.image));
    if (!process.same_pid_namespace)
        fmt::print(" (in another container: its own number)");
    if (process.windows_pid != 0)
        fmt::print("; Windows process {}, prefix {}", process.windows_pid,
                   printable(process.prefix));
    fmt::print("\n  {}, writewatch {}", printable(process.backend),
               printable(process.library_version));
    if (!process.backend_reason.empty())
        fmt::print(" ({})", printable(process.backend_reason));
    fmt::print("; {} gets, {} resets, {} pages reported, a get takes {}\n",
               human_count(all_gets(process.total)), human_count(process.total.resets),
               human_count(process.total.pages), mean_get_text(process.total));
    if (process.regions.empty()) {
        fmt::print("  watches nothing now\n");
        return;
    }
    using Align = Table::Align;
    Table table({{"ADDRESS"},
                 {"SIZE", Align::right},
                 {"PROTECTION"},
                 {"AGE", Align::right},
                 {"GETS", Align::right},
                 {"RESETS", Align::right},
                 {"PAGES REPORTED", Align::right},
                 {"A GET TAKES", Align::right},
                 {"LATCHED", Align::right},
                 {"ERRORS", Align::right}});
    const std::vector<RegionInfo> regions = chosen_regions(process, all);
    for (const RegionInfo& region : regions)
        table.add({hex_address(region.range.start), human_size(region.range.bytes()),
                   protection_text(process, region), age_text(region.created, now),
                   human_count(all_gets(region.counters)), human_count(region.counters.resets),
                   human_count(region.counters.pages), mean_get_text(region.counters),
                   human_count(region.latched_pages), human_count(region.counters.errors)});
    fmt::print("{}", table.text(2));
    if (regions.size() < process.regions.size())
        fmt::print("  and {} smaller regions (--all shows them)\n",
                   process.regions.size() - regions.size());
    if (process.regions_incomplete)
        fmt::print("  and more regions than can be published\n");
}

void print_text(const std::vector<ProcessInfo>& processes, bool all)
{
    if (processes.empty()) {
        fmt::print("No process of this user watches memory for writes.\n"
                   "A program shows here once it has allocated memory with MEM_WRITE_WATCH (or "
                   "called ww_watch), if it\nuses writewatch: under Wine by 'writewatch run', "
                   "natively by its library. 'writewatch run --log info'\nsays whether it is on. "
                   "WRITEWATCH_REGISTRY=0 hides a process; so does another user's.\n");
        return;
    }
    const std::uint64_t now = wall_clock_ns();
    std::size_t regions = 0;
    std::uint64_t bytes = 0;
    std::uint64_t gets = 0;
    std::uint64_t pages = 0;
    for (const ProcessInfo& process : processes) {
        print_process(process, all, now);
        fmt::print("\n");
        regions += process.regions.size();
        bytes += watched_bytes(process);
        gets += all_gets(process.total);
        pages += process.total.pages;
    }
    const auto number = [](std::size_t n, const char* one, const char* many) {
        return human_count(n) + " " + (n == 1 ? one : many);
    };
    fmt::print("{}, {}, {} watched, {}, {} reported\n",
               number(processes.size(), "process", "processes"),
               number(regions, "region", "regions"), human_size(bytes), number(gets, "get", "gets"),
               number(pages, "page", "pages"));
}

void print_document(const std::vector<ProcessInfo>& processes)
{
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const ProcessInfo& process : processes) {
        nlohmann::ordered_json entry = process_json(process);
        entry["regions"] = nlohmann::ordered_json::array();
        for (const RegionInfo& region : process.regions)
            entry["regions"].push_back(region_json(process, region));
        list.push_back(std::move(entry));
    }
    print_json({{"schema", "writewatch.list/1"}, {"processes", std::move(list)}});
}

} // namespace

void add_list_command(CLI::App& app, int& exit_code)
{
    struct Options {
        bool all = false;
        bool json = false;
    };
    const auto options = std::make_shared<Options>();
    CLI::App* const verb =
        app.add_subcommand("list", "Processes that watch memory, their regions and counters");
    verb->add_flag("--all", options->all, "every region, not only each process's largest");
    verb->add_flag("--json", options->json, "print one JSON object, with every region");
    verb->callback([options, &exit_code] {
        const std::vector<ProcessInfo> processes = load_processes();
        if (options->json)
            print_document(processes);
        else
            print_text(processes, options->all);
        exit_code = exit_done;
    });
}

} // namespace writewatch::tool
