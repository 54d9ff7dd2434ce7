// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Where libwritewatch-wine.so is, and how LD_PRELOAD names it.
#pragma once

#include <filesystem>
#include <string>

namespace writewatch::tool {

struct PreloadLibrary {
    std::filesystem::path file; // empty: not found, or not usable
    std::string entry;          // for LD_PRELOAD; may hold ld.so's $LIB
    std::string reason;         // when not found: where it was looked for
};

// Installed: in the library directory that belongs to this command's prefix. Not installed: beside
// the command in its build directory.
PreloadLibrary find_preload_library();

// `value` of LD_PRELOAD with `entry` at its end; unchanged when a libwritewatch-wine.so is in it
// already.
std::string append_preload(const std::string& value, const std::string& entry);

} // namespace writewatch::tool
