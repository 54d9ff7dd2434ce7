// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/run.h"

#include "shim/backend/probe.h"
#include "shim/tool/child.h"
#include "shim/tool/exit_status.h"
#include "shim/tool/preload.h"
#include "shim/tool/usage.h"

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace writewatch::tool {

namespace fs = std::filesystem;

namespace {

struct RunOptions {
    std::string log;
    std::string log_file;
    std::string backend;
    bool disable = false;
    bool print = false;
};

using Environment = std::vector<std::pair<std::string, std::string>>;

// Commands that a preload does not reach or should not: they run as they are, with a line that says
// so.
struct OptOut {
    const char* command;
    const char* reason;
};
constexpr OptOut opt_outs[] = {
    {"sudo", "it drops LD_PRELOAD: put 'writewatch run' behind it"},
    {"su", "it drops LD_PRELOAD: put 'writewatch run' behind it"},
    {"pkexec", "it drops LD_PRELOAD: put 'writewatch run' behind it"},
    {"flatpak", "its sandbox does not contain the library: install writewatch inside"},
    {"steam", "it is a 32-bit program that starts games in containers of their own: use "
              "'writewatch run -- %command%' in a game's launch options"},
};

const OptOut* find_opt_out(const std::string& command)
{
    const std::string name = fs::path(command).filename();
    for (const OptOut& opt_out : opt_outs) {
        if (name == opt_out.command)
            return &opt_out;
    }
    return nullptr;
}

std::string current(const char* name)
{
    const char* const value = std::getenv(name);
    return value != nullptr ? value : "";
}

// What is to be set, in the order it is printed.
Environment changes(const RunOptions& options, const PreloadLibrary& library)
{
    Environment result;
    result.emplace_back("LD_PRELOAD", append_preload(current("LD_PRELOAD"), library.entry));
    if (!options.log.empty())
        result.emplace_back("WRITEWATCH_LOG", options.log);
    if (!options.log_file.empty()) // Wine changes its directory
        result.emplace_back("WRITEWATCH_LOG_FILE", fs::absolute(options.log_file).string());
    if (!options.backend.empty())
        result.emplace_back("WRITEWATCH_BACKEND", options.backend);
    if (options.disable)
        result.emplace_back("WRITEWATCH_DISABLE", "1");
    return result;
}

// For a shell: in single quotes where there is anything to quote.
std::string quoted(const std::string& text)
{
    const char* const plain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+=";
    if (!text.empty() && text.find_first_not_of(plain) == std::string::npos)
        return text;
    std::string result = "'";
    for (const char c : text)
        result += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return result + "'";
}

// As the library will open it (shim/sys/log.cpp), so that a mistake is seen before the program
// runs.
bool can_append(const std::string& path)
{
    const int file =
        open(path.c_str(),
             O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    return file >= 0 && close(file) == 0;
}

// Returns only when the command could not be executed.
int execute(const std::vector<std::string>& command)
{
    execvp(command[0].c_str(), pointers(command).data());
    const int error = errno;
    std::fprintf(stderr, "writewatch: run: cannot execute '%s': %s%s\n", command[0].c_str(),
                 std::strerror(error),
                 error == ENOENT && command[0].find('/') == std::string::npos ? " in PATH" : "");
    return error == ENOENT ? exit_command_not_found : exit_cannot_execute;
}

int run_command(const RunOptions& options, const std::vector<std::string>& command)
{
    if (!command.empty()) {
        if (const OptOut* const opt_out = find_opt_out(command.front()); opt_out != nullptr) {
            std::fprintf(stderr, "writewatch: run: '%s' runs without writewatch: %s\n",
                         opt_out->command, opt_out->reason);
            return options.print ? exit_done : execute(command);
        }
    }

    const PreloadLibrary library = find_preload_library();
    if (library.file.empty()) {
        std::fprintf(stderr, "writewatch: run: %s\n", library.reason.c_str());
        return exit_failed;
    }
    const Environment environment = changes(options, library);
    if (options.print) {
        for (const auto& [name, value] : environment)
            std::printf("%s=%s\n", name.c_str(), quoted(value).c_str());
        return exit_done;
    }

    if (!options.disable) {
        if (const backend::ProbeReport probe = backend::probe_pagemap_scan(); !probe.pagemap_scan)
            std::fprintf(
                stderr,
                "writewatch: run: pagemap-scan is not usable, Wine's own tracking stays: %s\n",
                probe.reason.c_str());
    }
    if (!options.log_file.empty() && !can_append(options.log_file)) {
        std::fprintf(stderr, "writewatch: run: cannot append to '%s': %s\n",
                     options.log_file.c_str(), std::strerror(errno));
        return exit_failed;
    }
    for (const auto& [name, value] : environment)
        setenv(name.c_str(), value.c_str(), 1);
    return execute(command);
}

// Cuts the command off `arguments` ("run", options, "--" or the first word that is no option,
// rest).
std::vector<std::string> take_command(const CLI::App& verb, std::vector<std::string>& arguments)
{
    if (arguments.empty() || arguments.front() != verb.get_name())
        return {};
    auto at = arguments.begin() + 1;
    while (at != arguments.end() && *at != "--" && at->rfind('-', 0) == 0) {
        const CLI::Option* const option = verb.get_option_no_throw(*at);
        const bool takes_value = option != nullptr && option->get_items_expected_max() > 0;
        at += takes_value && at + 1 != arguments.end() ? 2 : 1;
    }
    std::vector<std::string> command(at, arguments.end());
    if (!command.empty() && command.front() == "--")
        command.erase(command.begin());
    arguments.erase(at, arguments.end());
    return command;
}

// The parser does not know that a command follows.
class RunFormatter : public CLI::Formatter {
  public:
    std::string make_usage(const CLI::App*, std::string) const override
    {
        return "Usage: writewatch run [OPTIONS] [--] COMMAND [ARGUMENTS]\n";
    }
};

} // namespace

void add_run_command(CLI::App& app, std::vector<std::string>& arguments, int& exit_code)
{
    const auto options = std::make_shared<RunOptions>();
    CLI::App* const verb =
        app.add_subcommand("run", "Run a command, such as wine, with writewatch");
    verb->formatter(std::make_shared<RunFormatter>());
    add_word_option(*verb, "--log", options->log, {"none", "error", "warn", "info", "debug"},
                    "what to log; info proves in one line that it is on");
    verb->add_option("--log-file", options->log_file, "append the log to this file")
        ->type_name("PATH")
        ->check([](const std::string& path) {
            return path.empty() ? "an empty path; allowed: a file that can be appended to" : "";
        })
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    add_word_option(*verb, "--backend", options->backend, backend_words(),
                    "the mechanism; one that is not available is an error");
    verb->add_flag("--disable", options->disable, "load the library, but let it do nothing");
    verb->add_flag("--print", options->print, "print the environment, run nothing");
    verb->footer(
        "Ends with the command's own exit status; 127: not found, 126: cannot be executed.");
    const std::vector<std::string> command = take_command(*verb, arguments);
    verb->callback([options, command, &exit_code] {
        if (!options->print && (command.empty() || command.front().empty()))
            throw UsageError(
                "no command; usage: writewatch run [OPTIONS] [--] COMMAND [ARGUMENTS]");
        exit_code = run_command(*options, command);
    });
}

} // namespace writewatch::tool
