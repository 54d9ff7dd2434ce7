// SPDX-License-Identifier: LGPL-2.1-or-later
//
// `writewatch record`: what a process wrote over time, and what its gets cost, into a file.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace writewatch::tool {

// Takes the command behind "--" out of `arguments` (the whole command line, without the program's
// name), so that its own options never reach our parser.
void add_record_command(CLI::App& app, std::vector<std::string>& arguments, int& exit_code);

} // namespace writewatch::tool
