// SPDX-License-Identifier: LGPL-2.1-or-later
//
// `writewatch run`: a command, usually Wine, with the preload library and its settings.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace writewatch::tool {

// Takes the command that is to be run out of `arguments` (the whole command line, without the
// program's name), so that its own options never reach our parser.
void add_run_command(CLI::App& app, std::vector<std::string>& arguments, int& exit_code);

} // namespace writewatch::tool
