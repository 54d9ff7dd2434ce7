// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/demo_runs.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <unistd.h>

#include "shim/backend/probe.h"
#include "shim/tool/child.h"
#include "shim/tool/preload.h"
#include "shim/tool/programs.h"

namespace writewatch::tool {

namespace fs = std::filesystem;

namespace {

using Environment = std::map<std::string, std::string>;

std::optional<fs::path> find_in_path(const std::string& program)
{
    if (program.find('/') != std::string::npos)
        return access(program.c_str(), X_OK) == 0 ? std::optional<fs::path>(program) : std::nullopt;
    const char* const path = std::getenv("PATH");
    std::string folders = path ? path : "/usr/local/bin:/usr/bin:/bin";
    folders += ':';
    std::size_t begin = 0;
    for (std::size_t end; (end = folders.find(':', begin)) != std::string::npos; begin = end + 1) {
        const fs::path candidate = fs::path(folders.substr(begin, end - begin)) / program;
        std::error_code error;
        if (fs::is_regular_file(candidate, error) && access(candidate.c_str(), X_OK) == 0)
            return candidate;
    }
    return std::nullopt;
}

// A Wine prefix of the demo's own, so that it neither makes nor changes the user's; WINEPREFIX
// overrides.
fs::path wine_prefix()
{
    if (const char* const chosen = std::getenv("WINEPREFIX"); chosen && *chosen)
        return chosen;
    const char* const cache = std::getenv("XDG_CACHE_HOME");
    const char* const home = std::getenv("HOME");
    const fs::path base = cache && *cache ? fs::path(cache)
                          : home && *home ? fs::path(home) / ".cache"
                                          : fs::temp_directory_path();
    return base / "writewatch" / "wine";
}

Environment wine_environment(const fs::path& prefix)
{
    Environment environment{{"WINEPREFIX", prefix.string()},
                            // No question about Mono and Gecko when the prefix is made.
                            {"WINEDLLOVERRIDES", "mscoree,mshtml="},
                            // A console program: nothing to show on a display.
                            {"DISPLAY", ""},
                            {"WAYLAND_DISPLAY", ""}};
    if (!std::getenv("WINEDEBUG"))
        environment["WINEDEBUG"] = "-all";
    return environment;
}

std::vector<std::string> collector_options(const DemoOptions& options)
{
    return {"--json",
            "--heap",
            std::to_string(options.heap_mib),
            "--threads",
            std::to_string(options.threads),
            "--rounds",
            std::to_string(options.rounds),
            "--seed",
            std::to_string(options.seed)};
}

std::vector<std::string> operator+(std::vector<std::string> left,
                                   const std::vector<std::string>& right)
{
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

// The first line of `text` that contains `words`, from there on.
std::string line_with(const std::string& text, const char* words)
{
    const std::size_t begin = words ? text.find(words) : std::string::npos;
    if (begin == std::string::npos)
        return {};
    return text.substr(begin, text.find_first_of("\r\n", begin) - begin);
}

// `tracker_line`: how the line begins in which writewatch says that it is on; null where it must
// not be.
void execute(DemoRun& run, const std::vector<std::string>& command, const Environment& environment,
             const DemoOptions& options, const char* tracker_line)
{
    // Progress for a person; a log or a program reads the result only.
    if (!options.json && isatty(STDERR_FILENO))
        std::fprintf(stderr, "running: %s ...\n", run.title.c_str());
    const ChildResult child =
        run_child(command, environment, std::chrono::seconds(options.timeout_s));
    if (child.timed_out) {
        run.failed = true;
        run.reason = "not done in " + std::to_string(options.timeout_s) + " s";
        run.remedy = "a smaller --heap, or a longer --timeout";
        return;
    }
    run.active = line_with(child.err, tracker_line);
    run.result = nlohmann::json::parse(child.out, nullptr, false);
    if (run.result.is_discarded())
        run.result = nullptr;
    // The collector ends with 1 when its snapshot is not equal, and says so in its result.
    if (child.status != 0 || run.result.is_null()) {
        run.failed = true;
        run.reason = "exit status " + std::to_string(child.status);
        const std::string message = last_line(child.err);
        if (!message.empty())
            run.reason += ": " + message;
    }
}

void run_under_wine(DemoRun& stock, DemoRun& tracked, const fs::path& self,
                    const DemoOptions& options)
{
    const auto wine = find_in_path(options.wine);
    const auto program = find_own_program("demo", "collector.exe");
    for (DemoRun* run : {&stock, &tracked}) {
        if (!wine) {
            run->reason = "Wine is not installed (no '" + options.wine + "' in PATH)";
            run->remedy = "scripts/setup wine, or: apt-get install wine wine64";
        } else if (!program) {
            run->reason = "the demo's Windows program was not built (no mingw-w64)";
            run->remedy = "scripts/setup wine, then build again";
        }
    }
    if (!wine || !program)
        return;

    const fs::path prefix = wine_prefix();
    std::error_code error;
    fs::create_directories(prefix.parent_path(), error);
    const std::vector<std::string> command =
        std::vector<std::string>{wine->string(), program->string()} + collector_options(options);

    // Stock is stock, also where this command itself runs under `writewatch run`.
    Environment stock_environment = wine_environment(prefix);
    stock_environment["WRITEWATCH_DISABLE"] = "1";
    execute(stock, command, stock_environment, options, nullptr);

    if (const auto report = backend::probe_pagemap_scan(); !report.pagemap_scan) {
        tracked.reason = "this kernel cannot track writes: " + report.reason;
        tracked.remedy = "Linux 6.7 or newer; `writewatch check` shows each requirement";
        return;
    }
    if (const auto library = find_preload_library(); library.file.empty()) {
        tracked.reason = library.reason;
        tracked.remedy = "build with the Meson option -Dwine=enabled, or install the package";
        return;
    }
    Environment environment = wine_environment(prefix);
    environment["WRITEWATCH_DISABLE"] = "";
    // As a user would: with the same command.
    execute(tracked,
            std::vector<std::string>{self.string(), "run", "--log", "info", "--"} + command,
            environment, options, "writewatch: wine: active: ");
    if (!tracked.failed && tracked.active.empty()) {
        tracked.failed = true;
        tracked.reason = "writewatch did not become active in Wine";
        tracked.remedy = "WRITEWATCH_LOG=debug writewatch run -- wine PROGRAM.exe says why";
    }
}

void run_natively(DemoRun& native, const DemoOptions& options)
{
    const auto program = find_own_program("demo", "collector");
    if (!program) {
        native.reason = "the demo's native program was not built";
        native.remedy = "scripts/run builds it";
        return;
    }
    execute(native, std::vector<std::string>{program->string()} + collector_options(options),
            {{"WRITEWATCH_LOG", "info"}}, options, "writewatch: select: ");
}

} // namespace

std::vector<DemoRun> run_collectors(const DemoOptions& options)
{
    const fs::path self = fs::read_symlink("/proc/self/exe");
    std::vector<DemoRun> runs(3);
    runs[0].key = "wine_stock";
    runs[0].title = "stock Wine";
    runs[1].key = "wine_writewatch";
    runs[1].title = "Wine with writewatch";
    runs[2].key = "native";
    runs[2].title = "native Linux";
    run_under_wine(runs[0], runs[1], self, options);
    run_natively(runs[2], options);
    return runs;
}

} // namespace writewatch::tool
