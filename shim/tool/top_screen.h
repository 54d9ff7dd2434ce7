// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/tool/monitor.h"

#include <sys/types.h>

namespace writewatch::tool {

struct ScreenOptions {
    pid_t pid = 0; // only this process; 0: all
    double interval = 0.5;
    Sort sort = Sort::pages;
    bool reverse = false;
    bool color = true;
};

// The live view, until q is pressed. Needs a terminal on standard input and output. Returns the
// exit status.
int run_screen(const ScreenOptions& options);

} // namespace writewatch::tool
