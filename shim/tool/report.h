// SPDX-License-Identifier: LGPL-2.1-or-later
//
// `writewatch report`: a recording as one HTML page that needs nothing else.
#pragma once

namespace CLI {
class App;
}

namespace writewatch::tool {

void add_report_command(CLI::App& app, int& exit_code);

} // namespace writewatch::tool
