// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A full vector does not end the walk: it goes on through pages that do not match until the next
// region does not fit, and walk_end is the start of that one; when there is none, walk_end is the
// end. A vector of one is therefore a cheap "is anything written?".
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(64);
    tracker.watch(memory);
    PageRegion region{};
    const auto scan_one = [&](std::size_t first, std::uint64_t& walk_end) {
        PmScanArg arg =
            scan_arg(memory.page(first), (memory.pages() - first) * page_size, qualified);
        set_vec(arg, &region, 1);
        const int count = tracker.scan(arg);
        walk_end = (arg.walk_end - reinterpret_cast<std::uintptr_t>(memory.start())) / page_size;
        return count;
    };

    std::uint64_t walk_end = 0;
    CHECK_EQ(scan_one(0, walk_end), 0);
    CHECK_EQ(walk_end, 64);

    memory.write(0);
    memory.write(40);
    CHECK_EQ(scan_one(0, walk_end), 1);
    CHECK_EQ(region.start, reinterpret_cast<std::uintptr_t>(memory.page(0)));
    CHECK_EQ(walk_end, 40);
    CHECK_EQ(scan_one(40, walk_end), 1);
    CHECK_EQ(region.start, reinterpret_cast<std::uintptr_t>(memory.page(40)));
    CHECK_EQ(walk_end, 64);
    return finish();
}
