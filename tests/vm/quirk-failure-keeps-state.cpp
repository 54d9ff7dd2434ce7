// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A scan that fails has not consumed what it could not report: pages it armed on the way are
// written again, or the call returns the part that it delivered with a walk_end to go on from.
// Mainline's returns -1 with the pages armed: the writes are forgotten.
#include "tests/kernel/support.h"

using namespace kerneltest;

namespace {

void vector_that_faults(const Tracker& tracker)
{
    const Memory memory(8);
    const Memory vec(1);
    vec.protect(PROT_NONE);
    tracker.watch(memory);
    memory.write(2);
    memory.write(5);

    PmScanArg arg = scan_arg(memory.start(), memory.size(), qualified, pm_scan_wp_matching);
    set_vec(arg, reinterpret_cast<PageRegion*>(vec.start()), 16);
    CHECK_EQ(tracker.scan(arg), -1);
    CHECK_EQ(errno, EFAULT);
    CHECK_PAGES(tracker.get(memory), {2, 5});
}

// The first batch of 512 regions fits, the second meets the end of the vector's memory.
void vector_that_faults_later(const Tracker& tracker)
{
    const Memory memory(2048);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    for (std::size_t page = 0; page < 2048; page += 2)
        memory.write(page);

    // Room for 512 regions of 24 bytes up to the page that cannot be written
    const Memory vec(5);
    vec.protect(PROT_NONE, 4, 1);
    auto* const regions = reinterpret_cast<PageRegion*>(vec.page(4)) - 512;
    PmScanArg arg = scan_arg(memory.start(), memory.size(), qualified, pm_scan_wp_matching);
    set_vec(arg, regions, 1024);
    CHECK_EQ(tracker.scan(arg), 512);
    CHECK_EQ(arg.walk_end, reinterpret_cast<std::uintptr_t>(memory.page(1024)));
    CHECK(regions[511].start == reinterpret_cast<std::uintptr_t>(memory.page(1022)));
    const Pages left = tracker.get(memory);
    CHECK_EQ(left.size(), 512);
    CHECK(!left.empty() && left.front() == 1024);
}

void argument_that_cannot_be_stored(const Tracker& tracker)
{
    const Memory memory(8);
    const Memory storage(1);
    tracker.watch(memory);
    memory.write(4);

    PageRegion vec[8];
    auto* const arg = reinterpret_cast<PmScanArg*>(storage.start());
    *arg = scan_arg(memory.start(), memory.size(), qualified, pm_scan_wp_matching);
    set_vec(*arg, vec, 8);
    storage.protect(PROT_READ);
    CHECK_EQ(tracker.scan(*arg), -1);
    CHECK_EQ(errno, EFAULT);
    CHECK_PAGES(tracker.get(memory), {4});
}

void range_that_is_not_allowed(const Tracker& tracker)
{
    const Memory memory(16);
    tracker.watch(memory);
    memory.write(1);
    memory.write(6);
    memory.replace(12, 4); // drops the registration of these pages

    PageRegion vec[16];
    PmScanArg arg = scan_arg(memory.start(), memory.size(), qualified,
                             pm_scan_wp_matching | pm_scan_check_wpasync);
    set_vec(arg, vec, 16);
    CHECK_EQ(tracker.scan(arg), -1);
    CHECK_EQ(errno, EPERM);
    CHECK_EQ(arg.walk_end, arg.start);
    tracker.watch(memory);
    CHECK_PAGES(tracker.get(memory), {1, 6});
}

} // namespace

int main()
{
    const Tracker tracker;
    vector_that_faults(tracker);
    vector_that_faults_later(tracker);
    argument_that_cannot_be_stored(tracker);
    range_that_is_not_allowed(tracker);
    return finish();
}
