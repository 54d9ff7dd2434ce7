// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/preload.h"

#include <array>
#include <vector>

namespace writewatch::tool {

namespace fs = std::filesystem;

namespace {

constexpr const char* library_name = "libwritewatch-wine.so";

// ld.so replaces $LIB by the directory for the program's own architecture ("lib/x86_64-linux-gnu",
// "lib/i386-linux-gnu" on Debian). In a mixed Wine the 32-bit loader then looks for a 32-bit
// library instead of complaining about the 64-bit one.
std::string preload_entry(const fs::path& file)
{
    std::string text = file.string();
    const std::string multiarch = "/lib/x86_64-linux-gnu/";
    const std::size_t at = text.rfind(multiarch);
    if (at == std::string::npos)
        return text;
    return text.substr(0, at) + "/$LIB/" + text.substr(at + multiarch.size());
}

std::vector<fs::path> candidates(const fs::path& here)
{
    return {
        here / ".." / WRITEWATCH_LIBDIR / library_name,
        here / ".." / WRITEWATCH_LIBDIR / "writewatch" / library_name,
        here / library_name,
        here / "../../wine-integration" / library_name, // the build directory
        here / "../../wine-integration/preload" / library_name,
    };
}

} // namespace

PreloadLibrary find_preload_library()
{
    PreloadLibrary library;
    std::error_code error;
    const fs::path self = fs::read_symlink("/proc/self/exe", error);
    if (error) {
        library.reason = "/proc/self/exe: " + error.message();
        return library;
    }
    const fs::path here = self.parent_path();
    for (const fs::path& candidate : candidates(here)) {
        // The name stays as installed (no symbolic link is followed but in the directory): $LIB
        // needs it.
        const fs::path file = candidate.lexically_normal();
        if (!fs::is_regular_file(file, error))
            continue;
        if (file.string().find_first_of(": ") != std::string::npos) {
            library.reason = "the path '" + file.string() +
                             "' has a space or a colon in it, which LD_PRELOAD cannot express";
            return library;
        }
        library.file = file;
        library.entry = preload_entry(file);
        return library;
    }
    library.reason = std::string(library_name) + " is neither in " +
                     (here / ".." / WRITEWATCH_LIBDIR).lexically_normal().string() +
                     " nor beside " + self.string() + " (was it built? meson option 'wine')";
    return library;
}

std::string append_preload(const std::string& value, const std::string& entry)
{
    // ld.so splits at colons and at white space.
    for (std::size_t begin = 0; begin < value.size();) {
        const std::size_t end = value.find_first_of(": \t", begin);
        const std::string present = value.substr(begin, end - begin);
        if (fs::path(present).filename() == library_name)
            return value;
        if (end == std::string::npos)
            break;
        begin = end + 1;
    }
    return value.empty() ? entry : value + ":" + entry;
}

} // namespace writewatch::tool
