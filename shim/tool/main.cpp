// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The `writewatch` command: one file a verb.
#include "shim/tool/bench.h"
#include "shim/tool/check.h"
#include "shim/tool/demo.h"
#include "shim/tool/exit_status.h"
#include "shim/tool/list.h"
#include "shim/tool/record.h"
#include "shim/tool/report.h"
#include "shim/tool/run.h"
#include "shim/tool/show.h"
#include "shim/tool/top.h"
#include "shim/tool/usage.h"
#include "shim/tool/version.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace writewatch::tool {

namespace {

void add_help_command(CLI::App& app, int& exit_code)
{
    const auto name = std::make_shared<std::string>();
    CLI::App* const verb = app.add_subcommand("help", "What a verb does, and its options");
    verb->add_option("VERB", *name, "one of the command's verbs");
    verb->callback([&app, name, &exit_code] {
        const CLI::App* subject = &app;
        std::string title = "writewatch";
        if (!name->empty()) {
            const auto verbs = app.get_subcommands(
                [&](const CLI::App* candidate) { return candidate->get_name() == *name; });
            if (verbs.empty())
                throw UsageError("unknown verb '" + *name + "'; allowed: " + join(verb_names(app)));
            subject = verbs.front();
            title += " " + *name;
        }
        // Not help(): that one would describe the verb that was chosen, this one.
        std::fputs(
            subject->get_formatter()->make_help(subject, title, CLI::AppFormatMode::Normal).c_str(),
            stdout);
        exit_code = exit_done;
    });
}

int command(int argc, char** argv)
{
    int exit_code = exit_done;
    CLI::App app{"Windows write watches on Linux, tracked by the kernel.", "writewatch"};
    app.set_version_flag("--version", std::string("writewatch ") + version);
    app.require_subcommand(1);
    add_check_command(app, exit_code);
    std::vector<std::string> arguments(argv + 1, argv + argc);
    add_run_command(app, arguments, exit_code);
    add_list_command(app, exit_code);
    add_show_command(app, exit_code);
    add_top_command(app, exit_code);
    add_record_command(app, arguments, exit_code);
    add_report_command(app, exit_code);
    add_demo_command(app, exit_code);
    add_bench_command(app, exit_code);
    add_version_command(app, exit_code);
    add_help_command(app, exit_code);
    try {
        std::reverse(arguments.begin(), arguments.end()); // the parser takes them from the back
        app.parse(std::move(arguments));
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) // --help, --version: to standard output
            return app.exit(error);
        std::fprintf(stderr, "%s\n", usage_message(app, error).c_str());
        return exit_usage;
    }
    return exit_code;
}

} // namespace

} // namespace writewatch::tool

int main(int argc, char** argv)
{
    try {
        const int exit_code = writewatch::tool::command(argc, argv);
        // A full disk or a closed pipe: the answer did not arrive.
        if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
            std::perror("writewatch: standard output");
            return exit_code == 0 ? writewatch::tool::exit_failed : exit_code;
        }
        return exit_code;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "writewatch: %s\n", error.what());
        return writewatch::tool::exit_failed;
    }
}
