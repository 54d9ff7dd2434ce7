// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/demo/collection.h"

#include "shim/demo/clock.h"
#include "shim/demo/mutators.h"
#include "shim/demo/world.h"

namespace demo {

Collection collect_while_threads_write(Heap& heap, Snapshot& snapshot, const Workload& workload)
{
    Collection collection;
    const auto pass = [&] {
        const Snapshot::Pass result = snapshot.update();
        ++collection.passes;
        collection.calls += result.calls;
        collection.pages_found += result.pages;
    };

    const std::uint64_t writes_per_round = workload.writes_per_round * workload.threads;
    World world(workload.threads);
    const auto start = Clock::now();
    Mutators mutators(heap, world, workload.threads, workload.writes_per_round * workload.rounds,
                      workload.seed);
    for (unsigned round = 0; round < workload.rounds; ++round) {
        // Half-way through the round, while everybody goes on writing: most of the work.
        world.wait_for_writes(round * writes_per_round + writes_per_round / 2);
        pass();
        // At its end, with the world stopped: what was written in the meantime.
        world.wait_for_writes((round + 1) * writes_per_round);
        const auto stop = Clock::now();
        world.stop();
        pass();
        world.resume();
        collection.pauses_ns.push_back(static_cast<double>(elapsed_ns(stop, Clock::now())));
    }
    mutators.join();
    pass(); // writes between the last round's stop and the threads' end
    collection.total_ns = elapsed_ns(start, Clock::now());
    return collection;
}

} // namespace demo
