// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <optional>

#include "shim/demo/collection.h"
#include "shim/demo/options.h"
#include "shim/demo/write_cost.h"

namespace demo {

struct Report {
    std::size_t heap_pages = 0;
    std::size_t first_pass_pages = 0; // found by the pass after every page was written once
    WriteCost cost;
    Collection collection;
    std::optional<std::size_t> first_difference; // byte offset; nothing: the snapshot is equal
};

void print_text(const Options& options, const Report& report);
void print_json(const Options& options, const Report& report);

} // namespace demo
