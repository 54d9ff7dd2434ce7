// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/clock.h"

#include <ctime>

namespace writewatch::sys {

namespace {

std::uint64_t read(clockid_t clock) noexcept
{
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
           static_cast<std::uint64_t>(now.tv_nsec);
}

} // namespace

std::uint64_t monotonic_ns() noexcept
{
    return read(CLOCK_MONOTONIC);
}

std::uint64_t realtime_ns() noexcept
{
    return read(CLOCK_REALTIME);
}

} // namespace writewatch::sys
