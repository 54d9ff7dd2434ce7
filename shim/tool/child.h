// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Runs another program to its end and keeps what it printed.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace writewatch::tool {

struct ChildResult {
    // As a shell has it: 128 + signal for a killed program, 127 when it could not be started.
    int status = 127;
    bool timed_out = false;
    std::string out;
    std::string err;
};

// `command[0]` is looked for in PATH. `environment` is added to ours; an empty value removes the
// variable. A program that runs longer than `limit` is killed. What it started itself and left
// behind (Wine's services) is not waited for.
ChildResult run_child(const std::vector<std::string>& command,
                      const std::map<std::string, std::string>& environment,
                      std::chrono::seconds limit);

// What exec(3) and posix_spawn(3) take as arguments or environment: ends with a null pointer, valid
// as long as `strings`. They do not write there, though their types allow it.
std::vector<char*> pointers(const std::vector<std::string>& strings);

// The last line that is not empty, without its end.
std::string last_line(const std::string& text);

} // namespace writewatch::tool
