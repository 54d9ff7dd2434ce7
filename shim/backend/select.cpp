// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/backend/select.h"

#include "shim/backend/mprotect.h"
#include "shim/backend/probe.h"
#include "shim/sys/env.h"
#include "shim/sys/log.h"

#include <cerrno>

namespace writewatch::backend {

namespace {

Selection failed(int error, std::string reason)
{
    return {nullptr, error != 0 ? error : EIO, std::move(reason)};
}

Selection open_pagemap_scan(PagemapScanOptions options)
{
    const ProbeReport report = probe_pagemap_scan();
    if (!report.pagemap_scan) {
        for (const Capability& capability : report.capabilities) {
            if (!capability.supported)
                return failed(capability.error, report.reason);
        }
    }
    auto opened = PagemapScan::open(options);
    if (!opened)
        return failed(opened.error().code, describe(opened.error()));
    return {std::move(*opened), 0, {}};
}

Selection open_mprotect()
{
    auto opened = Mprotect::open();
    if (!opened)
        return failed(opened.error().code, describe(opened.error()));
    return {std::move(*opened), 0, {}};
}

} // namespace

Selection select(std::string_view name, PagemapScanOptions options)
{
    if (name == "pagemap-scan")
        return open_pagemap_scan(options);
    if (name == "mprotect")
        return open_mprotect();
    if (name != "auto")
        return failed(EINVAL, "no backend is called '" + std::string(name) +
                                  "'; allowed: auto, pagemap-scan, mprotect");

    Selection best = open_pagemap_scan(options);
    if (best.backend)
        return best;
    Selection fallback = open_mprotect();
    fallback.reason = "not pagemap-scan: " + best.reason;
    return fallback;
}

Selection select_by_environment(PagemapScanOptions options)
{
    return select(sys::environment("WRITEWATCH_BACKEND").value_or("auto"), options);
}

} // namespace writewatch::backend
