// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/protection.h"

#include <fmt/format.h>
#include <writewatch/win32.h>

namespace writewatch::tool {

std::string protection_name(std::uint64_t protection)
{
    if (protection == 0)
        return {};
    std::string name;
    switch (protection & 0xFFU) {
    case PAGE_NOACCESS:
        name = "no access";
        break;
    case PAGE_READONLY:
        name = "read";
        break;
    case PAGE_READWRITE:
        name = "read/write";
        break;
    case PAGE_WRITECOPY:
        name = "copy on write";
        break;
    case PAGE_EXECUTE:
        name = "execute";
        break;
    case PAGE_EXECUTE_READ:
        name = "execute/read";
        break;
    case PAGE_EXECUTE_READWRITE:
        name = "execute/read/write";
        break;
    default:
        return fmt::format("0x{:x}", protection);
    }
    return (protection & PAGE_GUARD) != 0 ? name + ", guard" : name;
}

} // namespace writewatch::tool
