// SPDX-License-Identifier: LGPL-2.1-or-later
// What the suite itself (not its rules) needs from the system, on Linux and on Windows.
#ifndef WRITEWATCH_TESTS_CONFORMANCE_PLATFORM_H
#define WRITEWATCH_TESTS_CONFORMANCE_PLATFORM_H

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace conformance {

inline constexpr int exit_code_hang = 124;

/// This program's own file.
std::string own_path();

/// Starts this program again with \p arguments, gives each line of its standard output to \p line,
/// and returns how it ended: "exit status N", "signal N", or "" for exit status 0.
std::string run_self(const std::vector<std::string>& arguments,
                     const std::function<void(const std::string&)>& line);

/// Ends the process without running any destructor.
[[noreturn]] void exit_at_once(int code);

/// A crash ends the process; no dialog, no debugger.
void no_crash_dialogs();

} // namespace conformance

#endif
