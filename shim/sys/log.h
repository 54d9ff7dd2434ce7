// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The library's log: control plane only (start, watch, unwatch, errors), never inside get or reset.
//
// WRITEWATCH_LOG       none | error | warn | info | debug (default warn)
// WRITEWATCH_LOG_FILE  append there instead of standard error
//
// One line per message: "writewatch: <module>: <text>". Signals are blocked while the logger's lock
// is held, since a thread suspended with it would block the next allocation of another.
#pragma once

#include "shim/sys/result.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace writewatch::log {

enum class Level : std::uint8_t { none, error, warn, info, debug };

// Cheap; sets the logger up on first use.
bool enabled(Level level) noexcept;

void write(Level level, std::string_view module, std::string_view text) noexcept;

template<typename... Args>
void message(Level level, std::string_view module, fmt::format_string<Args...> format,
             Args&&... args) noexcept
{
    if (!enabled(level))
        return;
    try {
        write(level, module, fmt::format(format, std::forward<Args>(args)...));
    } catch (...) { // out of memory while formatting
        write(level, module, "a message was lost: out of memory");
    }
}

template<typename... Args>
void error(std::string_view module, fmt::format_string<Args...> format, Args&&... args) noexcept
{
    message(Level::error, module, format, std::forward<Args>(args)...);
}

template<typename... Args>
void warn(std::string_view module, fmt::format_string<Args...> format, Args&&... args) noexcept
{
    message(Level::warn, module, format, std::forward<Args>(args)...);
}

template<typename... Args>
void info(std::string_view module, fmt::format_string<Args...> format, Args&&... args) noexcept
{
    message(Level::info, module, format, std::forward<Args>(args)...);
}

template<typename... Args>
void debug(std::string_view module, fmt::format_string<Args...> format, Args&&... args) noexcept
{
    message(Level::debug, module, format, std::forward<Args>(args)...);
}

} // namespace writewatch::log

namespace writewatch {

// "step: EPERM (Operation not permitted) on 0x1000-0x2000", for logs and reasons; empty when out of
// memory.
std::string describe(const Error& error) noexcept;

} // namespace writewatch
