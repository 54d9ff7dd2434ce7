// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/registry/layout.h"
#include "shim/tool/page_runs.h"

#include <cstddef>
#include <cstdint>

namespace writewatch::tool {

// Looks at a region from outside, again and again, and tells which written pages are news. The
// program resets pages meanwhile; its counters tell how many its gets returned.
class WriteTracker {
  public:
    struct Look {
        PageRuns news;           // written since the last look, as far as can be told
        bool fresh = false;      // all was reset in between: the news are all that is written
        std::size_t written = 0; // pages that are written now
    };

    // `now`: the pages that are written; `step`: what the region's counters grew by since the last
    // look, read before the pages were.
    Look look(PageRuns now, const registry::Counters& step);

  private:
    double reset_pages(const registry::Counters& step);

    PageRuns before_;
    std::size_t before_pages_ = 0;
    std::size_t uncounted_ = 0; // pages seen to be reset by no call that was counted
    // Calls whose pages are not counted yet; and which share of those before them reset pages.
    std::uint64_t gets_ = 0;
    std::uint64_t resetting_ = 0;
    double resetting_share_ = 1;
};

} // namespace writewatch::tool
