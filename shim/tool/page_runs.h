// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Sets of pages as ascending, disjoint runs.
#pragma once

#include "shim/sys/page.h"

#include <cstddef>
#include <vector>

namespace writewatch::tool {

using PageRuns = std::vector<PageRange>;

// Appends a run that starts at or after the last one's end; adjacent runs become one.
void append(PageRuns& runs, PageRange run);

std::size_t count_pages(const PageRuns& runs);

// The pages of `left` that are not in `right`.
PageRuns subtract(const PageRuns& left, const PageRuns& right);

} // namespace writewatch::tool
