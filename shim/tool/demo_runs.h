// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The three runs of the bundled collector that `writewatch demo` compares.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "shim/tool/demo.h"

namespace writewatch::tool {

struct DemoRun {
    std::string key;       // in JSON: "wine_stock", "wine_writewatch", "native"
    std::string title;     // in the table
    std::string active;    // writewatch's own line on the backend it chose, when it is involved
    nlohmann::json result; // what the collector printed; null when there is none
    bool failed = false;   // it ran, and ended badly
    std::string reason;    // why there is no result, or how it failed
    std::string remedy;    // what the user can do about it
};

// Runs what can be run here, in turn. Never throws for a run that is not possible.
std::vector<DemoRun> run_collectors(const DemoOptions& options);

} // namespace writewatch::tool
