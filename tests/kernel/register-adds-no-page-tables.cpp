// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Watching 1 GiB costs no page tables and next to no time, and neither does a get or a reset of it
// while it is empty. Eager arming of the same range is shown beside it: 2 MiB of tables per GiB.
#include "support.h"

#include <ctime>

using namespace kerneltest;

namespace {

double microseconds()
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

} // namespace

int main()
{
    const Tracker tracker;
    const Memory memory(std::size_t{1024} * 1024 * 1024 / page_size);
    memory.advise(MADV_NOHUGEPAGE);
    { // Once with little memory: page tables that the measuring itself needs are there afterwards.
        const Memory small(1);
        tracker.watch(small);
        (void)tracker.get(small);
        tracker.get_and_reset(small);
        (void)microseconds();
        (void)status_kib("VmPTE");
    }

    const std::uint64_t before = status_kib("VmPTE");
    const double start = microseconds();
    tracker.watch(memory);
    const double watched = microseconds();
    CHECK_EQ(status_kib("VmPTE"), before);
    CHECK_PAGES(tracker.get(memory), {});
    CHECK_PAGES(tracker.get_and_reset(memory), {});
    CHECK_EQ(status_kib("VmPTE"), before);

    const double arm_start = microseconds();
    tracker.arm(memory);
    const double armed = microseconds();
    note("1 GiB: register %.1f us, VmPTE %llu kB before and after; eager arming %.0f us, VmPTE "
         "%llu kB",
         watched - start, static_cast<unsigned long long>(before), armed - arm_start,
         static_cast<unsigned long long>(status_kib("VmPTE")));
    CHECK_PAGES(tracker.get(memory), {});
    return finish();
}
