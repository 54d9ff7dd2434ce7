// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/show.h"

#include "shim/tool/exit_status.h"
#include "shim/tool/page_map.h"
#include "shim/tool/process_pages.h"
#include "shim/tool/processes.h"
#include "shim/tool/terminal.h"
#include "shim/tool/text.h"
#include "shim/tool/usage.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace writewatch::tool {

namespace {

using registry::ProcessInfo;
using registry::RegionInfo;
using Json = nlohmann::ordered_json;

struct ShowOptions {
    pid_t pid = 0;
    std::string address;
    std::string color;
    bool json = false;
};

// A map of this many lines still fits a screen with the rest.
constexpr std::size_t map_lines = 40;
// A run of the JSON output: a program asked for it, but a pipe has limits, too.
constexpr std::size_t max_runs = 1'000'000;

struct StateName {
    PageState state;
    const char* name;
};
constexpr std::array<StateName, page_state_bits> state_names{{
    {page_written, "written"},
    {page_present, "present"},
    {page_swapped, "swapped"},
    {page_zero, "zero"},
    {page_file, "file"},
    {page_elsewhere, "mapped_elsewhere"},
}};

// "0x7f…", or the same without 0x.
std::uintptr_t parse_address(std::string_view text)
{
    std::string_view digits = text;
    if (digits.substr(0, 2) == "0x" || digits.substr(0, 2) == "0X")
        digits.remove_prefix(2);
    std::uintptr_t address = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), address, 16);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
        throw UsageError(fmt::format("'{}' is no address; allowed: a hexadecimal number, such as "
                                     "0x7f0000000000",
                                     printable(text)));
    return address;
}

struct Found {
    const ProcessInfo* process;
    const RegionInfo* region;
};

Found find_region(const std::vector<ProcessInfo>& processes, std::uintptr_t address)
{
    for (const ProcessInfo& process : processes)
        for (const RegionInfo& region : process.regions)
            if (region.range.contains(address))
                return {&process, &region};
    throw Failure(fmt::format("no watched region of process {} contains {}; 'writewatch show {}' "
                              "lists its regions",
                              processes.front().pid, hex_address(address), processes.front().pid));
}

ProcessPages open_pages(const ProcessInfo& process)
{
    if (!process.same_pid_namespace)
        throw Failure(fmt::format("process {} lives in another container: run this command in "
                                  "there to see its pages",
                                  process.pid));
    auto pages = ProcessPages::open(process.pid, tracked_by_kernel(process));
    if (!pages)
        throw Failure(describe_failure(pages.error(), process.pid));
    return std::move(*pages);
}

PageMap look_at(const ProcessPages& pages, const ProcessInfo& process, const RegionInfo& region,
                std::size_t cells)
{
    PageMap map(region.range, cells);
    Progress progress("reading the page table of " + std::to_string(process.pid));
    const auto seen =
        pages.visit_states(region.range, mode_of(region), [&](PageRange run, unsigned states) {
            map.add(run, states);
            progress.update(static_cast<double>(run.end - region.range.start) /
                            static_cast<double>(region.range.bytes()));
        });
    if (!seen)
        throw Failure(describe_failure(seen.error(), process.pid));
    return map;
}

void print_facts(const ProcessInfo& process)
{
    fmt::print("process {}: {}\n", process.pid, printable(process.image));
    if (process.windows_pid != 0)
        fmt::print("  Windows process {}, prefix {}\n", process.windows_pid,
                   printable(process.prefix));
    fmt::print(
        "  {}, writewatch {}{}\n", printable(process.backend), printable(process.library_version),
        process.backend_reason.empty() ? "" : " (" + printable(process.backend_reason) + ")");
}

void print_region(const ProcessInfo& process, const RegionInfo& region, const ProcessPages& pages,
                  bool color)
{
    const std::size_t width = line_width();
    const PageMap map = look_at(pages, process, region, (width < 100 ? 64 : 128) * map_lines);
    const registry::Counters& counters = region.counters;
    fmt::print("region {} to {}, {}, {}\n", hex_address(region.range.start),
               hex_address(region.range.end), human_size(region.range.bytes()),
               protection_text(process, region));
    fmt::print("  {} gets, {} resets, {} pages reported, a get takes {}, {} latched, {} errors\n\n",
               human_count(all_gets(counters)), human_count(counters.resets),
               human_count(counters.pages), mean_get_text(counters),
               human_count(region.latched_pages), human_count(counters.errors));
    fmt::print("{}", render(map, {color, width}, pages.knows_written()));
}

void print_regions(const ProcessInfo& process, const ProcessPages& pages)
{
    using Align = Table::Align;
    Table table({{"ADDRESS"},
                 {"SIZE", Align::right},
                 {"PROTECTION"},
                 {"WRITTEN", Align::right},
                 {"IN MEMORY", Align::right},
                 {"SWAPPED", Align::right},
                 {"ZERO", Align::right},
                 {"FILE", Align::right},
                 {"ALSO ELSEWHERE", Align::right},
                 {"UNTOUCHED", Align::right}});
    for (const RegionInfo& region : process.regions) {
        const PageMap map = look_at(pages, process, region, 1);
        table.add({hex_address(region.range.start), human_size(region.range.bytes()),
                   protection_text(process, region),
                   pages.knows_written() ? human_count(map.count(page_written)) : "?",
                   human_count(map.count(page_present)), human_count(map.count(page_swapped)),
                   human_count(map.count(page_zero)), human_count(map.count(page_file)),
                   human_count(map.count(page_elsewhere)),
                   human_count(region.range.pages() - map.populated())});
    }
    fmt::print("\npages of each region by state:\n{}", table.text(2));
}

void print_text(const std::vector<ProcessInfo>& processes, const Found& chosen, bool color)
{
    if (chosen.region != nullptr) {
        print_facts(*chosen.process);
        print_region(*chosen.process, *chosen.region, open_pages(*chosen.process), color);
        return;
    }
    for (const ProcessInfo& process : processes) {
        print_facts(process);
        if (process.regions.empty()) {
            fmt::print("  watches nothing now\n");
            continue;
        }
        const ProcessPages pages = open_pages(process);
        if (process.regions.size() == 1)
            print_region(process, process.regions.front(), pages, color);
        else
            print_regions(process, pages);
    }
}

Json pages_json(const ProcessInfo& process, const RegionInfo& region, bool with_runs)
{
    const ProcessPages pages = open_pages(process);
    PageMap map(region.range, 1);
    Json runs = Json::array();
    const auto seen =
        pages.visit_states(region.range, mode_of(region), [&](PageRange run, unsigned states) {
            map.add(run, states);
            if (!with_runs || runs.size() >= max_runs)
                return;
            Json names = Json::array();
            for (const StateName& entry : state_names)
                if ((states & entry.state) != 0)
                    names.push_back(entry.name);
            runs.push_back({{"address", hex_address(run.start)},
                            {"pages", run.pages()},
                            {"states", std::move(names)}});
        });
    if (!seen)
        throw Failure(describe_failure(seen.error(), process.pid));
    Json counts;
    for (const StateName& entry : state_names)
        counts[entry.name] = entry.state == page_written && !pages.knows_written()
                                 ? Json(nullptr)
                                 : Json(map.count(entry.state));
    counts["untouched"] = region.range.pages() - map.populated();
    Json result = region_json(process, region);
    result["pages"] = std::move(counts);
    if (with_runs) {
        result["runs_incomplete"] = runs.size() >= max_runs;
        result["runs"] = std::move(runs);
    }
    return result;
}

void print_document(const std::vector<ProcessInfo>& processes, const Found& chosen)
{
    Json list = Json::array();
    for (const ProcessInfo& process : processes) {
        if (chosen.process != nullptr && chosen.process != &process)
            continue;
        Json entry = process_json(process);
        entry["regions"] = Json::array();
        for (const RegionInfo& region : process.regions)
            if (chosen.region == nullptr || chosen.region == &region)
                entry["regions"].push_back(pages_json(process, region, chosen.region != nullptr));
        list.push_back(std::move(entry));
    }
    print_json({{"schema", "writewatch.show/1"}, {"processes", std::move(list)}});
}

int run_show(const ShowOptions& options)
{
    const std::uintptr_t address = options.address.empty() ? 0 : parse_address(options.address);
    const std::vector<ProcessInfo> processes = load_process(options.pid);
    const Found chosen =
        options.address.empty() ? Found{nullptr, nullptr} : find_region(processes, address);
    if (options.json)
        print_document(processes, chosen);
    else
        print_text(processes, chosen, use_color(options.color));
    return exit_done;
}

} // namespace

void add_show_command(CLI::App& app, int& exit_code)
{
    const auto options = std::make_shared<ShowOptions>();
    CLI::App* const verb =
        app.add_subcommand("show", "A process's watched regions, or one as a map of its pages");
    add_pid_option(*verb, options->pid)->required();
    verb->add_option("ADDRESS", options->address, "any address in the region, hexadecimal");
    add_color_option(*verb, options->color);
    verb->add_flag("--json", options->json,
                   "print one JSON object; with ADDRESS: every run of pages");
    verb->callback([options, &exit_code] { exit_code = run_show(*options); });
}

} // namespace writewatch::tool
