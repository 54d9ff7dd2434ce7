// SPDX-License-Identifier: LGPL-2.1-or-later
//
// `writewatch list`: who watches which memory, and what it cost so far.
#pragma once

namespace CLI {
class App;
}

namespace writewatch::tool {

void add_list_command(CLI::App& app, int& exit_code);

} // namespace writewatch::tool
