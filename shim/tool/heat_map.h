// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Where a region was written lately: hot when it is written, fading with age.
#pragma once

#include "shim/tool/page_runs.h"

#include <cstddef>
#include <vector>

namespace writewatch::tool {

class HeatMap {
  public:
    // `half_life`: seconds after which what was written is half as hot.
    HeatMap(PageRange range, double half_life);

    // `written`: pages found newly written at `now`, in seconds on a clock that does not go back.
    void add(const PageRuns& written, double now);

    struct View {
        std::size_t pages_per_cell = 1;
        // 0: cold, or never written; 1: all of the cell, just now; a single page, just now: some
        // heat, however large the cell.
        std::vector<double> heat;
    };
    // As few pages in each cell as `max_cells` allows, a power of two.
    View view(std::size_t max_cells, double now) const;

    PageRange range() const { return range_; }

  private:
    struct Spot {
        double share = 0; // of its pages that were written at `at`, or before and faded since
        double at = 0;
    };
    double age_factor(const Spot& spot, double now) const;

    PageRange range_;
    double half_life_;
    std::size_t pages_per_spot_ = 1;
    std::vector<Spot> spots_;
    std::vector<std::size_t> fresh_; // pages of the current add(), by spot; zero between calls
};

} // namespace writewatch::tool
