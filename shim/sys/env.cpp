// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/env.h"

#include <cstdlib>
#include <sys/auxv.h>

namespace writewatch::sys {

std::optional<std::string_view> environment(const char* name) noexcept
{
    if (is_privileged_process())
        return std::nullopt;
    const char* const value = std::getenv(name); // NOLINT(concurrency-mt-unsafe)
    if (value == nullptr || *value == '\0')
        return std::nullopt;
    return value;
}

bool is_privileged_process() noexcept
{
    return getauxval(AT_SECURE) != 0;
}

} // namespace writewatch::sys
