// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What this kernel can do, by trying it: never by its version, since features are backported and
// present ones can be broken or forbidden.
#pragma once

#include "shim/backend/backend.h"

#include <string>
#include <string_view>
#include <vector>

namespace writewatch::backend {

struct Capability {
    std::string_view name;
    bool supported = false;
    int error = 0;        // errno of the failed step, 0 otherwise
    std::string_view how; // what was tried
    std::string reason; // when not supported: what failed, and what can be done about it; otherwise
                        // what is less exact than it could be, if anything is
};

struct ProbeReport {
    // In the order they build on each other; once one is missing, those that need it say so.
    std::vector<Capability> capabilities;
    // All that the pagemap-scan backend needs.
    bool pagemap_scan = false;
    // One line, when not.
    std::string reason;
};

// Takes well under a millisecond; maps a few scratch pages and closes what it opens.
ProbeReport probe_pagemap_scan();

} // namespace writewatch::backend
