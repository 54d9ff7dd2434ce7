// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A scan that fills the kernel's bounce buffer (512 regions) more than once and then finishes
// leaves walk_end at the last batch's boundary (seen up to 7.3-rc7; ours and a fixed kernel say
// `end`). The library never asks for more than 512 regions in a call, and does not need walk_end to
// know that a scan is complete: it returned fewer regions than the vector holds.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(4096);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    for (std::size_t page = 0; page < memory.pages(); page += 2)
        memory.write(page);

    std::vector<PageRegion> vec(4096);
    PmScanArg arg = scan_arg(memory.start(), memory.size(), qualified);
    set_vec(arg, vec.data(), vec.size());
    CHECK_EQ(tracker.scan(arg), 2048);
    for (std::size_t i = 0; i < 2048; ++i)
        CHECK(vec[i].start == reinterpret_cast<std::uintptr_t>(memory.page(2 * i)));
    const std::uint64_t stopped =
        (arg.walk_end - reinterpret_cast<std::uintptr_t>(memory.start())) / page_size;
    note("complete scan of 4096 pages, 2048 regions: walk_end is page %llu (%s)",
         static_cast<unsigned long long>(stopped), stopped == 4096 ? "the end" : "stale");
    CHECK(stopped == 4096 || stopped == 3072);

    // With at most 512 regions a call: each call but the last is full and says where to go on, the
    // last one is short and says `end`.
    std::size_t calls = 0;
    std::size_t regions = 0;
    arg = scan_arg(memory.start(), memory.size(), qualified);
    set_vec(arg, vec.data(), 512);
    for (;;) {
        const int count = tracker.scan(arg);
        ++calls;
        regions += static_cast<std::size_t>(count);
        if (count < 512)
            break;
        if (arg.walk_end >= arg.end)
            break;
        CHECK(arg.walk_end > arg.start);
        arg.start = arg.walk_end;
    }
    CHECK_EQ(regions, 2048);
    CHECK(arg.walk_end == arg.end);
    CHECK_EQ(calls, 4);
    return finish();
}
