// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/demo/write_cost.h"

#include <cstdint>
#include <vector>

#include "shim/demo/clock.h"
#include "shim/demo/statistics.h"

namespace demo {

WriteCost measure_write_cost(Heap& heap, Snapshot& snapshot, unsigned rounds)
{
    constexpr std::size_t objects_per_page = Heap::page_size / Heap::object_size;
    constexpr std::size_t stride = 4;
    // Writes that are timed together: short beside a time slice, long beside the clock. Divides the
    // pages of a round, since heaps are whole MiBs.
    constexpr std::size_t batch = 64;
    WriteCost cost;
    cost.pages_per_round = heap.pages() / stride;
    std::vector<double> write_ns;
    std::vector<double> get_reset_ns;
    for (unsigned round = 0; round < rounds; ++round) {
        for (std::size_t page = round % stride; page < heap.pages();) {
            const auto start = Clock::now();
            for (std::size_t i = 0; i < batch; ++i, page += stride)
                heap.write(page * objects_per_page, 1, round + 1);
            write_ns.push_back(static_cast<double>(elapsed_ns(start, Clock::now())) / batch);
        }
        const Snapshot::Pass pass = snapshot.update();
        get_reset_ns.push_back(static_cast<double>(pass.get_ns));
        cost.pages_written += cost.pages_per_round;
        cost.pages_found += pass.pages;
    }
    cost.write_ns = percentile(write_ns, 50);
    cost.get_reset_ns = percentile(get_reset_ns, 50);
    return cost;
}

} // namespace demo
