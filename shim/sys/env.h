// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string_view>

namespace writewatch::sys {

// A WRITEWATCH_* variable. Unset, empty, and anything in a process with elevated rights (AT_SECURE,
// as in ld.so) read as nothing. Valid as long as nobody changes the environment.
std::optional<std::string_view> environment(const char* name) noexcept;

// True for a process that gained privileges at exec (getauxval(3), AT_SECURE).
bool is_privileged_process() noexcept;

} // namespace writewatch::sys
