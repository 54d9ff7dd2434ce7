// SPDX-License-Identifier: LGPL-2.1-or-later
//
// `writewatch demo`: the bundled collector (shim/demo) under stock Wine, under Wine with writewatch
// and natively, as one table.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace writewatch::tool {

struct DemoOptions {
    unsigned heap_mib = 64;
    unsigned threads = 2;
    unsigned rounds = 20;
    unsigned seed = 1;
    unsigned timeout_s = 120; // for each of the runs
    std::string wine = "wine";
    bool json = false;
};

// Prints the table (or, with json, one object). A run that is not possible here is a line that says
// what is missing and how to get it, not a failure.
// Returns the process's exit code: 0, or 1 when a run failed or its snapshot was not equal.
int run_demo(const DemoOptions& options);

// Adds the subcommand `demo`; when it is chosen, `exit_code` receives run_demo()'s answer.
void add_demo_command(CLI::App& app, int& exit_code);

} // namespace writewatch::tool
