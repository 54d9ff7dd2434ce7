// SPDX-License-Identifier: LGPL-2.1-or-later
//
// `writewatch show`: a process's regions, and the pages of one as a map.
#pragma once

namespace CLI {
class App;
}

namespace writewatch::tool {

void add_show_command(CLI::App& app, int& exit_code);

} // namespace writewatch::tool
