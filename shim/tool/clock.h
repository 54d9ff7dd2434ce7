// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <cstdint>

namespace writewatch::tool {

// Nanoseconds on a clock that does not go back, and seconds on the same.
inline std::uint64_t monotonic_ns()
{
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                          std::chrono::steady_clock::now().time_since_epoch())
                                          .count());
}

inline double monotonic_seconds()
{
    return static_cast<double>(monotonic_ns()) * 1e-9;
}

// Nanoseconds since 1970.
inline std::uint64_t wall_clock_ns()
{
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                          std::chrono::system_clock::now().time_since_epoch())
                                          .count());
}

} // namespace writewatch::tool
