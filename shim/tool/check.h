// SPDX-License-Identifier: LGPL-2.1-or-later
//
// `writewatch check`: can this kernel track writes, how do we know, and if not, why not.
#pragma once

namespace CLI {
class App;
}

namespace writewatch::tool {

void add_check_command(CLI::App& app, int& exit_code);

} // namespace writewatch::tool
