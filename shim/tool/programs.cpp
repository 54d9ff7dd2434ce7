// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/programs.h"

namespace writewatch::tool {

namespace fs = std::filesystem;

std::optional<fs::path> find_own_program(const char* build_folder, const char* name)
{
    const fs::path here = fs::read_symlink("/proc/self/exe").parent_path();
    for (const fs::path& folder :
         {here / ".." / build_folder, here / ".." / WRITEWATCH_LIBEXECDIR / "writewatch"}) {
        std::error_code error;
        const fs::path candidate = fs::canonical(folder / name, error);
        if (!error && !fs::is_directory(candidate))
            return candidate;
    }
    return std::nullopt;
}

} // namespace writewatch::tool
