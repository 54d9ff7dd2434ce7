// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string_view>

namespace writewatch::tool {

// report_page.html, with @DATA@ where the numbers go.
extern const std::string_view report_page;

} // namespace writewatch::tool
