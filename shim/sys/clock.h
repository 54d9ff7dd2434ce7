// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>

namespace writewatch::sys {

// Since some fixed moment; never 0. No kernel entry (vDSO). Async-signal-safe.
std::uint64_t monotonic_ns() noexcept;

// Since 1970.
std::uint64_t realtime_ns() noexcept;

} // namespace writewatch::sys
