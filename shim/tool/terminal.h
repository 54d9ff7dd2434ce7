// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What standard output and standard error are, and progress on the latter.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace CLI {
class App;
}

namespace writewatch::tool {

// The values of --color.
void add_color_option(CLI::App& verb, std::string& value);

// "auto": a terminal on standard output that is not TERM=dumb, and no NO_COLOR (no-color.org).
bool use_color(const std::string& option);

// Characters in a line of standard output: the terminal's, else COLUMNS, else 80.
std::size_t line_width();

// What takes longer than a second says so on standard error, where that is a terminal.
class Progress {
  public:
    explicit Progress(std::string what);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress();

    // `share` of the work that is done, 0 to 1, or less than 0: not known. `detail` may be empty.
    void update(double share, const std::string& detail = {});

  private:
    std::string what_;
    std::chrono::steady_clock::time_point next_;
    bool enabled_;
    bool shown_ = false;
};

} // namespace writewatch::tool
