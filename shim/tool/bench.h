// SPDX-License-Identifier: LGPL-2.1-or-later
//
// `writewatch bench`.
#pragma once

namespace CLI {
class App;
}

namespace writewatch::tool {

void add_bench_command(CLI::App& app, int& exit_code);

} // namespace writewatch::tool
