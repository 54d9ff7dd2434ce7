// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/report.h"

#include "shim/tool/exit_status.h"
#include "shim/tool/report_data.h"
#include "shim/tool/report_page.h"
#include "shim/tool/terminal.h"
#include "shim/tool/usage.h"

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <string>
#include <string_view>
#include <sys/stat.h>

namespace writewatch::tool {

namespace {

struct ReportOptions {
    std::string recording;
    std::string output;
    bool json = false;
};

// Larger than any recording that a report could show.
constexpr std::size_t max_bytes = std::size_t{1} << 30;

struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// Errors as text.
std::string read_file(const std::string& path, std::string& bytes)
{
    const File file(std::fopen(path.c_str(), "rbe"));
    if (!file)
        return std::strerror(errno);
    struct stat status {};
    if (fstat(fileno(file.get()), &status) == 0 && S_ISDIR(status.st_mode))
        return std::strerror(EISDIR);
    char buffer[65536];
    while (const std::size_t got = std::fread(buffer, 1, sizeof buffer, file.get())) {
        bytes.append(buffer, got);
        if (bytes.size() > max_bytes)
            return "larger than 1 GiB: record less, or with a longer --interval";
    }
    return std::ferror(file.get()) != 0 ? std::strerror(errno) : "";
}

// Inside <script>: nothing in it may end the element, whatever a program is called.
std::string for_script(const nlohmann::ordered_json& document)
{
    const std::string json =
        document.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    std::string text;
    text.reserve(json.size());
    for (const char c : json)
        text += c == '<' ? std::string("\\u003c") : std::string(1, c);
    return text;
}

std::string page_of(const nlohmann::ordered_json& document)
{
    constexpr std::string_view mark = "@DATA@";
    const std::string_view page = report_page;
    const std::size_t at = page.find(mark);
    std::string text(page.substr(0, at));
    text += for_script(document);
    text += page.substr(at + mark.size());
    return text;
}

// "game.wwrec" and "game" both become "game.html".
std::string default_output(const std::string& recording)
{
    const std::string_view suffix = ".wwrec";
    std::string stem = recording;
    if (stem.size() > suffix.size() &&
        stem.compare(stem.size() - suffix.size(), suffix.size(), suffix) == 0)
        stem.resize(stem.size() - suffix.size());
    return stem + ".html";
}

int run_report(const ReportOptions& options)
{
    Progress progress("reading " + options.recording);
    progress.update(-1);
    std::string bytes;
    if (const std::string error = read_file(options.recording, bytes); !error.empty()) {
        fmt::print(stderr, "writewatch: report: {}: {}\n", options.recording, error);
        return exit_failed;
    }
    const ReportData report = summarize(bytes);
    if (report.mistake) {
        fmt::print(stderr, "writewatch: report: {}: {}\n", options.recording, *report.mistake);
        return exit_failed;
    }
    if (options.json) {
        const std::string text =
            report.document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
        fmt::print("{}\n", text);
        return exit_done;
    }
    const std::string page = page_of(report.document);
    if (options.output == "-") {
        std::fwrite(page.data(), 1, page.size(), stdout);
        return exit_done;
    }
    const std::string path =
        options.output.empty() ? default_output(options.recording) : options.output;
    File file(std::fopen(path.c_str(), "wbe"));
    if (!file || std::fwrite(page.data(), 1, page.size(), file.get()) != page.size() ||
        std::fclose(file.release()) != 0) {
        fmt::print(stderr, "writewatch: report: {}: {}\n", path, std::strerror(errno));
        return exit_failed;
    }
    fmt::print("{}\n", path);
    return exit_done;
}

} // namespace

void add_report_command(CLI::App& app, int& exit_code)
{
    const auto options = std::make_shared<ReportOptions>();
    CLI::App* const verb = app.add_subcommand(
        "report", "A recording as one HTML page: what was written when, and cost");
    verb->add_option("FILE", options->recording, "what writewatch record wrote")->required();
    verb->add_option("-o,--output", options->output,
                     "where the page goes, - for standard output (FILE with .html)")
        ->type_name("PATH");
    verb->add_flag("--json", options->json, "print the page's numbers as one JSON object instead");
    verb->callback([options, &exit_code] { exit_code = run_report(*options); });
}

} // namespace writewatch::tool
