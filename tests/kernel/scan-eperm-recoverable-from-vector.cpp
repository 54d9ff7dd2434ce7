// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Under CHECK_WPASYNC a VMA that is not registered ends the scan with EPERM, possibly after pages
// before it were re-armed. With a vector of at most 512 entries that was zeroed before the call,
// nothing is lost: what was consumed stands in the entries up to the first with end == 0, and
// everything else is still written.
#include "support.h"

#include <algorithm>

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(16);
    tracker.watch(memory);
    Pages written;
    for (const std::size_t page : Pages{1, 3, 4, 7}) {
        memory.write(page);
        written.push_back(page);
    }
    memory.replace(10, 2); // drops the registration of two pages in the middle
    memory.write(13);
    written.push_back(13);

    PageRegion vec[512] = {};
    PmScanArg arg = scan_arg(memory.start(), memory.size(), qualified,
                             pm_scan_wp_matching | pm_scan_check_wpasync);
    set_vec(arg, vec, 512);
    const int result = tracker.scan(arg);
    if (result < 0)
        CHECK_EQ(errno, EPERM);
    else // a partial answer that says where it stopped would do as well
        CHECK_EQ(arg.walk_end, reinterpret_cast<std::uintptr_t>(memory.page(10)));

    Pages consumed;
    for (const PageRegion* region = vec; region->end != 0; ++region)
        for (std::uint64_t at = region->start; at < region->end; at += page_size)
            consumed.push_back((at - reinterpret_cast<std::uintptr_t>(memory.start())) / page_size);
    const Pages left = tracker.get(memory);
    note("result %d: consumed %s, still written %s", result, to_string(consumed).c_str(),
         to_string(left).c_str());

    Pages both = consumed;
    both.insert(both.end(), left.begin(), left.end());
    std::sort(both.begin(), both.end());
    CHECK_PAGES(both, (written));
    return finish();
}
