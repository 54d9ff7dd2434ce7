// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

namespace writewatch::sys {

// A kernel switch file that holds a number: true when it can be read and is not 0.
bool read_flag(const char* path) noexcept;

} // namespace writewatch::sys
