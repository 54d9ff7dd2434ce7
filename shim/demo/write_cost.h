// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What tracking costs by itself, with one thread and nothing else going on: a write to a page that
// was just reset, and a pass that finds a known number of pages.
#pragma once

#include <cstddef>

#include "shim/demo/heap.h"
#include "shim/demo/snapshot.h"

namespace demo {

struct WriteCost {
    double write_ns = 0;           // one write to a clean page (median over batches of writes)
    double get_reset_ns = 0;       // one pass of get+reset over the whole heap (median)
    std::size_t pages_written = 0; // in all rounds together ...
    std::size_t pages_found = 0;   // ... and what the passes reported
    std::size_t pages_per_round = 0;
};

// Each round writes one word in each page of the next quarter of the pages (every fourth page),
// then makes a pass. The heap must be clean.
WriteCost measure_write_cost(Heap& heap, Snapshot& snapshot, unsigned rounds);

} // namespace demo
