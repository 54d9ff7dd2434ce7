// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The collector's loop: keeps the snapshot current while threads write, and stops them only for
// what is left. A real collector would mark from the written objects where this one copies their
// pages.
#pragma once

#include <cstdint>
#include <vector>

#include "shim/demo/heap.h"
#include "shim/demo/snapshot.h"

namespace demo {

struct Workload {
    unsigned threads;
    unsigned rounds;
    std::uint64_t writes_per_round; // by each thread
    std::uint64_t seed;
};

struct Collection {
    std::uint64_t total_ns = 0; // from the start of the threads to the end of the last round
    std::size_t passes = 0;
    std::size_t calls = 0;         // of GetWriteWatch
    std::size_t pages_found = 0;   // by all passes together
    std::vector<double> pauses_ns; // how long the world was stopped, one per round
};

// Returns with all threads ended and the snapshot current.
Collection collect_while_threads_write(Heap& heap, Snapshot& snapshot, const Workload& workload);

} // namespace demo
