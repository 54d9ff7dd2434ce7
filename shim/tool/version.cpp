// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/version.h"

#include "shim/tool/exit_status.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

namespace writewatch::tool {

const char* const version = WRITEWATCH_VERSION;

void add_version_command(CLI::App& app, int& exit_code)
{
    const auto json = std::make_shared<bool>(false);
    CLI::App* const verb = app.add_subcommand("version", "The version of this command");
    verb->add_flag("--json", *json, "print one JSON object");
    verb->callback([json, &exit_code] {
        if (*json)
            std::printf("%s\n", nlohmann::ordered_json{{"schema", "writewatch.version/1"},
                                                       {"version", version}}
                                    .dump(2)
                                    .c_str());
        else
            std::printf("writewatch %s\n", version);
        exit_code = exit_done;
    });
}

} // namespace writewatch::tool
