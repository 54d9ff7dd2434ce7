// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>

namespace writewatch::wine {

// How the unix side of Wine's ntdll passes arguments to its system calls: Wine 8.0 by the Microsoft
// ABI, Wine 10.0 by the System V ABI. Nothing in the library says so, hence the function is asked.
enum class CallingConvention : std::uint8_t { unknown, microsoft, system_v };

// Calls Wine's NtGetWriteWatch with arguments that both conventions refuse, each for a reason of
// its own. Works before Wine is initialised: the arguments are checked first.
CallingConvention probe_calling_convention(std::uintptr_t nt_get_write_watch) noexcept;

constexpr const char* name(CallingConvention convention)
{
    switch (convention) {
    case CallingConvention::microsoft:
        return "Microsoft ABI";
    case CallingConvention::system_v:
        return "System V ABI";
    case CallingConvention::unknown:
        break;
    }
    return "unknown ABI";
}

} // namespace writewatch::wine
