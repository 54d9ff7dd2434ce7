// SPDX-License-Identifier: LGPL-2.1-or-later
#include "wine-integration/host/state.h"

#include <cerrno>

namespace writewatch::wine {

Host* host = nullptr;

bool is_watched(PageRange range) noexcept
{
    const auto stop_at_first = [](PageRange part, const core::Region&) -> Result<void> {
        return fail(EEXIST, "watched", part);
    };
    return !host->watches.for_each_watched(range, stop_at_first);
}

} // namespace writewatch::wine
