// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/sys/page.h"

#include <ostream>

namespace writewatch::test {

// `count` pages from the `first`th of an address range.
constexpr PageRange pages(std::uintptr_t base, std::size_t first, std::size_t count = 1)
{
    return {base + first * page_size, base + (first + count) * page_size};
}

} // namespace writewatch::test

namespace writewatch {

// For Catch2's messages.
inline std::ostream& operator<<(std::ostream& out, PageRange range)
{
    return out << std::hex << "[0x" << range.start << ", 0x" << range.end << ")" << std::dec;
}

} // namespace writewatch
