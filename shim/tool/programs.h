// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The programs that the command runs and that no user calls: the demo's collector, the bench.
#pragma once

#include <filesystem>
#include <optional>

namespace writewatch::tool {

// In the build directory: in the folder beside the command's. Installed: in libexec/writewatch.
std::optional<std::filesystem::path> find_own_program(const char* build_folder, const char* name);

} // namespace writewatch::tool
