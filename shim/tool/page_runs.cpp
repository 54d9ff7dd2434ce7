// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/page_runs.h"

#include <algorithm>

namespace writewatch::tool {

void append(PageRuns& runs, PageRange run)
{
    if (run.empty())
        return;
    if (!runs.empty() && runs.back().end == run.start)
        runs.back().end = run.end;
    else
        runs.push_back(run);
}

std::size_t count_pages(const PageRuns& runs)
{
    std::size_t pages = 0;
    for (const PageRange& run : runs)
        pages += run.pages();
    return pages;
}

PageRuns subtract(const PageRuns& left, const PageRuns& right)
{
    PageRuns result;
    auto other = right.begin();
    for (PageRange rest : left) {
        while (other != right.end() && other->end <= rest.start)
            ++other;
        for (auto at = other; at != right.end() && at->start < rest.end; ++at) {
            append(result, {rest.start, std::max(at->start, rest.start)});
            rest.start = std::min(at->end, rest.end);
        }
        append(result, rest);
    }
    return result;
}

} // namespace writewatch::tool
