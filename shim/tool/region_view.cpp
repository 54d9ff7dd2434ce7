// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/region_view.h"

#include <utility>

namespace writewatch::tool {

RegionView::RegionView(const Row& row, double half_life)
    : row_(row), heat_(row.info.range, half_life)
{
    if (!tracked_by_kernel(row.process)) {
        problem_ = "no heat map: backend " + row.process.backend +
                   " does not leave what was written in the page tables";
        return;
    }
    if (!row.process.same_pid_namespace) {
        problem_ = "no heat map: the process lives in another container";
        return;
    }
    auto pages = ProcessPages::open(row.process.pid, true);
    if (pages)
        pages_ = std::move(*pages);
    else
        problem_ = describe_failure(pages.error(), row.process.pid);
}

void RegionView::look(const Row& row, double now)
{
    const registry::Counters step = difference(row.info.counters, row_.info.counters);
    row_ = row;
    if (!pages_)
        return;
    auto runs = pages_->written(row.info.range, mode_of(row.info));
    if (!runs) {
        problem_ = describe_failure(runs.error(), row.process.pid);
        pages_.reset();
        return;
    }
    const WriteTracker::Look look = tracker_.look(std::move(*runs), step);
    written_ = look.written;
    heat_.add(look.news, now);
}

} // namespace writewatch::tool
