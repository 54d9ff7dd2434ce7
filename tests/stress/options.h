// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <CLI/CLI.hpp>

#include <map>
#include <optional>
#include <string>

namespace stress {

// main's exit status after --help (0) or a mistake (64), which it has explained; else none.
inline std::optional<int> parse(CLI::App& app, int argc, char** argv)
{
    try {
        app.parse(argc, argv);
        return std::nullopt;
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 64;
    }
}

// --plant NAME
template<typename Plant>
void add_plant(CLI::App& app, Plant& plant, const std::map<std::string, Plant>& plants)
{
    app.add_option("--plant", plant, "make this mistake, which must be found")
        ->transform(CLI::CheckedTransformer(plants));
}

} // namespace stress
