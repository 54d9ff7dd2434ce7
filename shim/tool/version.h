// SPDX-License-Identifier: LGPL-2.1-or-later
//
// `writewatch version`.
#pragma once

namespace CLI {
class App;
}

namespace writewatch::tool {

extern const char* const version;

void add_version_command(CLI::App& app, int& exit_code);

} // namespace writewatch::tool
