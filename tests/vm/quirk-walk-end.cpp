// SPDX-License-Identifier: LGPL-2.1-or-later
//
// walk_end is `end` after a scan that is complete. Mainline's scan leaves the boundary of the last
// batch of 512 regions there when it needed more than one, so that a caller that goes on until
// walk_end reaches the end asks again for pages it has.
#include "tests/kernel/support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(4096);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    std::vector<PageRegion> vec(4096);

    // One batch, exactly one batch, one region more, several
    for (const std::size_t count : {511U, 512U, 513U, 1536U, 2048U}) {
        for (std::size_t i = 0; i < count; ++i)
            memory.write(2 * i);
        PmScanArg arg = scan_arg(memory.start(), memory.size(), qualified, pm_scan_wp_matching);
        set_vec(arg, vec.data(), vec.size());
        CHECK_EQ(tracker.scan(arg), count);
        CHECK_EQ(arg.walk_end, arg.end);
    }

    // A scan that is not complete stops at the first page it has no room for.
    for (std::size_t i = 0; i < 2048; ++i)
        memory.write(2 * i);
    PmScanArg arg = scan_arg(memory.start(), memory.size(), qualified);
    set_vec(arg, vec.data(), 1000);
    CHECK_EQ(tracker.scan(arg), 1000);
    CHECK_EQ(arg.walk_end, reinterpret_cast<std::uintptr_t>(memory.page(2000)));
    return finish();
}
