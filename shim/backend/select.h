// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/backend/backend.h"
#include "shim/backend/pagemap_scan.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace writewatch::backend {

struct Selection {
    std::unique_ptr<Backend> backend; // null: none can be used
    int error = 0;                    // when null: EINVAL (no such backend), or what the probe met
    std::string reason;               // why no backend, or why not the better one; empty otherwise
};

// The backend called `name` ("pagemap-scan", "mprotect"), or with "auto" the best that works. One
// that was asked for by name and does not work is an error, never a quiet fallback.
Selection select(std::string_view name, PagemapScanOptions options);

// The same by WRITEWATCH_BACKEND (unset: auto).
Selection select_by_environment(PagemapScanOptions options);

} // namespace writewatch::backend
