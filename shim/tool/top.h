// SPDX-License-Identifier: LGPL-2.1-or-later
//
// `writewatch top`: who asks how often, and where a region is written, live.
#pragma once

namespace CLI {
class App;
}

namespace writewatch::tool {

void add_top_command(CLI::App& app, int& exit_code);

} // namespace writewatch::tool
