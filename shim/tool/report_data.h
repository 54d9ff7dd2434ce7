// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A recording as the numbers that its report shows.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace writewatch::tool {

struct ReportData {
    nlohmann::ordered_json document; // schema "writewatch.report/1"
    std::optional<std::string>
        mistake; // what is wrong with the recording; `document` is empty then
};

// `recording`: the bytes of the file, not trusted.
ReportData summarize(std::string_view recording);

} // namespace writewatch::tool
