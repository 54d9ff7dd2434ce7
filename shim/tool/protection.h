// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <string>

namespace writewatch::tool {

// Windows' PAGE_* in words: "read/write"; empty for 0, the number where there is no word.
std::string protection_name(std::uint64_t protection);

} // namespace writewatch::tool
