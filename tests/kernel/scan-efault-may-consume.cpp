// SPDX-License-Identifier: LGPL-2.1-or-later
//
// When the copy to the vector faults, mainline has already re-armed the pages: they are neither
// returned nor written any more. Therefore the vector is always the library's own memory, never the
// caller's. A kernel that keeps them passes as well.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
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
    const Pages left = tracker.get(memory);
    note("after EFAULT on the vector, still written: %s (were: {2,5})", to_string(left).c_str());
    CHECK(left == Pages{} || left == (Pages{2, 5}));

    // Without a reset, a fault costs nothing.
    memory.write(2);
    memory.write(5);
    arg = scan_arg(memory.start(), memory.size(), qualified);
    set_vec(arg, reinterpret_cast<PageRegion*>(vec.start()), 16);
    CHECK_EQ(tracker.scan(arg), -1);
    CHECK_EQ(errno, EFAULT);
    CHECK_PAGES(tracker.get(memory), {2, 5});
    return finish();
}
