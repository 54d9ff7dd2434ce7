// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/tool/heat_map.h"
#include "shim/tool/monitor.h"
#include "shim/tool/process_pages.h"
#include "shim/tool/write_tracker.h"

#include <optional>
#include <string>

namespace writewatch::tool {

// The one region that top looks into.
class RegionView {
  public:
    // Opens the process's page tables; `problem` says why they cannot be read.
    RegionView(const Row& row, double half_life);

    // Reads them. `row`: of this region, as the monitor saw it just now.
    void look(const Row& row, double now);

    const Row& row() const { return row_; }
    const HeatMap& heat() const { return heat_; }
    std::size_t written() const { return written_; }
    const std::string& problem() const { return problem_; }

  private:
    Row row_;
    HeatMap heat_;
    WriteTracker tracker_;
    std::optional<ProcessPages> pages_;
    std::size_t written_ = 0;
    std::string problem_;
};

} // namespace writewatch::tool
