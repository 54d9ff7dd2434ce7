// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/top.h"

#include "shim/tool/clock.h"
#include "shim/tool/exit_status.h"
#include "shim/tool/monitor.h"
#include "shim/tool/process_pages.h"
#include "shim/tool/terminal.h"
#include "shim/tool/text.h"
#include "shim/tool/top_screen.h"
#include "shim/tool/usage.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <unistd.h>

namespace writewatch::tool {

namespace {

using Json = nlohmann::ordered_json;

struct TopOptions {
    int pid = 0;
    unsigned samples = 0; // 0: the live view, or one sample without a terminal
    double interval = 0;  // 0: what fits
    std::string sort = "pages";
    bool reverse = false;
    std::string color;
    bool json = false;
};

// Written pages, where they can be read: the processes' page tables stay open between samples.
class PageReader {
  public:
    std::optional<std::size_t> written(const Row& row)
    {
        if (!row.process.same_pid_namespace || !tracked_by_kernel(row.process))
            return std::nullopt;
        auto at = open_.find(row.segment);
        if (at == open_.end()) {
            auto pages = ProcessPages::open(row.process.pid, true);
            if (!pages) {
                tell(describe_failure(pages.error(), row.process.pid));
                return std::nullopt;
            }
            at = open_.emplace(row.segment, std::move(*pages)).first;
        }
        const auto runs = at->second.written(row.info.range, mode_of(row.info));
        if (!runs)
            return std::nullopt; // it has ended: the next look at the registry says so
        return count_pages(*runs);
    }

  private:
    void tell(const std::string& problem)
    {
        if (problem != told_)
            fmt::print(stderr, "writewatch: top: {}\n", problem);
        told_ = problem;
    }

    std::map<std::string, ProcessPages> open_;
    std::string told_;
};

void print_sample(const std::vector<Row>& rows, const Monitor& monitor, PageReader& pages)
{
    using Align = Table::Align;
    const std::size_t processes = monitor.processes().size();
    fmt::print("{:%H:%M:%S}  {} {}, {} {}\n", fmt::localtime(std::time(nullptr)), processes,
               processes == 1 ? "process" : "processes", rows.size(),
               rows.size() == 1 ? "region" : "regions");
    if (rows.empty())
        return;
    Table table({{"PID", Align::right},
                 {"PROGRAM"},
                 {"ADDRESS"},
                 {"SIZE", Align::right},
                 {"GETS/s", Align::right},
                 {"PAGES/s", Align::right},
                 {"PAGES/GET", Align::right},
                 {"A GET TAKES", Align::right},
                 {"TIME", Align::right},
                 {"WRITTEN NOW", Align::right}});
    for (const Row& row : rows) {
        const std::uint64_t gets = all_gets(row.step);
        const auto written = pages.written(row);
        table.add(
            {std::to_string(row.process.pid), printable(short_name(row.process.image)),
             hex_address(row.info.range.start), human_size(row.bytes),
             short_count(row.gets_per_second), short_count(row.pages_per_second),
             gets == 0
                 ? "-"
                 : short_count(static_cast<double>(row.step.pages) / static_cast<double>(gets)),
             mean_get_text(row.step.samples != 0 ? row.step : row.info.counters),
             fmt::format("{:.1f} %", row.time_share * 100), written ? human_count(*written) : "?"});
    }
    fmt::print("{}", table.text());
}

void print_sample_json(const std::vector<Row>& rows, PageReader& pages)
{
    Json list = Json::array();
    for (const Row& row : rows) {
        const auto written = pages.written(row);
        Json entry = region_json(row.process, row.info);
        entry["pid"] = row.process.pid;
        entry["image"] = row.process.image;
        entry["gets_per_second"] = row.gets_per_second;
        entry["pages_per_second"] = row.pages_per_second;
        entry["time_share"] = row.time_share;
        entry["written_pages"] = written ? Json(*written) : Json(nullptr);
        list.push_back(std::move(entry));
    }
    print_json({{"schema", "writewatch.top/1"}, {"time_ns", wall_clock_ns()}, {"regions", list}},
               -1);
}

int print_samples(const TopOptions& options, Sort sort)
{
    Monitor monitor;
    monitor.choose(options.pid);
    PageReader pages;
    const double interval = options.interval > 0 ? options.interval : 1;
    const unsigned samples = options.samples > 0 ? options.samples : 1;
    double due = monotonic_seconds();
    monitor.look(due);
    for (unsigned sample = 0; sample < samples; ++sample) {
        due += interval;
        std::this_thread::sleep_for(std::chrono::duration<double>(due - monotonic_seconds()));
        monitor.look(monotonic_seconds());
        if (options.pid != 0 && monitor.processes().empty()) {
            fmt::print(stderr, "writewatch: top: process {} has ended\n", options.pid);
            return exit_done;
        }
        std::vector<Row> rows = monitor.regions();
        sort_rows(rows, sort, options.reverse);
        if (options.json)
            print_sample_json(rows, pages);
        else
            print_sample(rows, monitor, pages);
        if (std::fflush(stdout) != 0)
            return exit_failed; // main says why
    }
    return exit_done;
}

int run_top(const TopOptions& options)
{
    if (options.pid != 0)
        (void)load_process(options.pid); // says why there is none
    const Sort sort = sort_by_name(options.sort).value_or(Sort::pages);
    const bool terminal = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
    if (options.samples > 0 || options.json || !terminal)
        return print_samples(options, sort);
#if WRITEWATCH_HAVE_NCURSES
    return run_screen({options.pid, options.interval > 0 ? options.interval : 0.5, sort,
                       options.reverse, use_color(options.color)});
#else
    fmt::print(stderr, "writewatch: top: built without ncurses: one sample instead of the live "
                       "view (--samples N for more)\n");
    return print_samples(options, sort);
#endif
}

} // namespace

void add_top_command(CLI::App& app, int& exit_code)
{
    const auto options = std::make_shared<TopOptions>();
    CLI::App* const verb =
        app.add_subcommand("top", "Regions live: how often asked, what it costs, where written");
    add_pid_option(*verb, options->pid);
    verb->add_option("--samples", options->samples,
                     "print this many samples instead of the live view")
        ->check(CLI::Range(1, 1'000'000));
    verb->add_option("--interval", options->interval, "seconds between looks (0.5; samples: 1)")
        ->check(CLI::Range(0.05, 3600.0));
    std::vector<std::string> sorts;
    for (std::size_t i = 0; i < sort_count; ++i)
        sorts.emplace_back(sort_name(static_cast<Sort>(i)));
    add_word_option(*verb, "--sort", options->sort, sorts, "the column to sort by (pages)");
    verb->add_flag("--reverse", options->reverse, "the other way round");
    add_color_option(*verb, options->color);
    verb->add_flag("--json", options->json, "print each sample as one JSON object on a line");
    verb->footer("Looks only: nothing is reset, armed or stopped. In the live view h explains the "
                 "keys.");
    verb->callback([options, &exit_code] { exit_code = run_top(*options); });
}

} // namespace writewatch::tool
