// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Mistakes on the command line: one line that says what was wrong and what is allowed.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace writewatch::tool {

// "a, b, c"
std::string join(const std::vector<std::string>& words);

std::vector<std::string> verb_names(const CLI::App& app);

// The values of WRITEWATCH_BACKEND and --backend.
const std::vector<std::string>& backend_words();

// An option whose value is one of a few words.
CLI::Option* add_word_option(CLI::App& verb, const std::string& name, std::string& value,
                             std::vector<std::string> words, const std::string& description);

// The positional argument PID: a process's Linux number.
CLI::Option* add_pid_option(CLI::App& verb, int& pid);

// A mistake that the parser cannot see; ends the command with exit_usage.
class UsageError : public CLI::ParseError {
  public:
    explicit UsageError(const std::string& what);
};

// The line for a mistake, without its end: "writewatch: check: unknown option '--jsno'; allowed:
// …".
std::string usage_message(const CLI::App& app, const CLI::ParseError& error);

} // namespace writewatch::tool
