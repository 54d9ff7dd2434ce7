// SPDX-License-Identifier: LGPL-2.1-or-later
//
// WP_MATCHING without a vector is the fastest reset: it arms every page that has an entry, in one
// call. Mainline ignores the masks on this path (a page that does not match is armed as well),
// max_pages too; ours honours the masks. The library uses it only with the plain mask, where both
// are right: every written page is clean afterwards and the next write is seen.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(1024);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);

    // What the masks do: FILE matches no page of anonymous memory.
    memory.write(3);
    PmScanArg arg =
        scan_arg(memory.start(), memory.size(), {0, page_is_file, 0, 0}, pm_scan_wp_matching);
    CHECK_EQ(tracker.scan(arg), 0);
    const bool ignored = tracker.get(memory).empty();
    note("WP_MATCHING without a vector %s the masks", ignored ? "ignores" : "honours");

    // The use that the library may make of it.
    memory.write_all();
    memory.advise(MADV_DONTNEED, 100, 50);
    memory.read(120);
    arg = scan_arg(memory.start(), memory.size(), plain, pm_scan_wp_matching);
    arg.max_pages = 1; // means nothing without a vector
    CHECK_EQ(tracker.scan(arg), 0);
    CHECK_EQ(arg.walk_end, arg.end);
    CHECK_PAGES(tracker.get(memory), {});
    memory.write(7);
    memory.write(110);
    memory.write(120);
    CHECK_PAGES(tracker.get(memory), {7, 110, 120});
    return finish();
}
