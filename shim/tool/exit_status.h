// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

namespace writewatch::tool {

// What the command's exit status says (style.md section 6, writewatch(1)). `run` ends with its
// command's status, or with one of the last two, which every shell and env(1) use the same way.
enum ExitStatus : int {
    exit_done = 0,
    exit_failed = 1,
    exit_absent = 2,
    exit_usage = 64,
    exit_cannot_execute = 126,
    exit_command_not_found = 127,
};

} // namespace writewatch::tool
