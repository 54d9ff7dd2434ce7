// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Closing the userfaultfd ends every registration and clears all marks: what was clean cannot be
// told any more. Whoever watches again must treat populated pages as written, and they are.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Memory memory(4);
    {
        Tracker tracker;
        tracker.watch(memory);
        memory.write_all();
        tracker.get_and_reset(memory);
        CHECK_PAGES(tracker.get(memory), {});
        tracker.close_userfaultfd();
        CHECK_EQ(tracker.check_registered(memory.start(), memory.size()), EPERM);
        CHECK_PAGES(tracker.get_and_reset(memory), {}); // nothing is tracked, nothing is re-armed
    }
    const Tracker tracker;
    tracker.watch(memory);
    CHECK_PAGES(tracker.get(memory), {0, 1, 2, 3});
    return finish();
}
