// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Eager arming (for everything that is not private anonymous memory): UFFDIO_WRITEPROTECT of empty
// pages leaves markers, because WP_ASYNC implies WP_UNPOPULATED. A marker is SWAPPED and not
// WRITTEN; a read maps the zero page, still armed; the first write is seen. With the plain mask,
// dropped pages read as written until they are armed again: that is what the qualified scan does
// better.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(1024, huge_page_size);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    tracker.arm(memory);
    CHECK_PAGES(tracker.pages(memory, plain), {});
    CHECK_EQ(tracker.categories(memory, 9) & (page_is_written | page_is_swapped | page_is_present),
             page_is_swapped);
    CHECK_PAGES(tracker.get(memory), {}); // a marker is clean for the qualified scan as well

    memory.read(5);
    CHECK_PAGES(tracker.pages(memory, plain), {});
    memory.write(5);
    memory.write(700);
    CHECK_PAGES(tracker.pages(memory, plain, pm_scan_wp_matching), {5, 700});
    CHECK_PAGES(tracker.pages(memory, plain), {});

    memory.advise(MADV_DONTNEED, 700, 2);
    note("plain mask after MADV_DONTNEED of {700-701}: %s",
         to_string(tracker.pages(memory, plain)).c_str());
    CHECK_PAGES(tracker.get(memory), {});
    return finish();
}
