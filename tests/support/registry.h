// SPDX-License-Identifier: LGPL-2.1-or-later
//
// For programs that publish to a registry.
#pragma once

#include "shim/registry/reader.h"
#include "shim/sys/log.h"
#include "tests/support/catch.h"

namespace writewatch::test {

// What missing() answers for a program of this kind.
inline std::optional<Missing> missing_shared_memory()
{
    if (const auto listing = registry::list(); !listing)
        return Missing{"shared-memory", describe(listing.error())};
    return std::nullopt;
}

} // namespace writewatch::test
