// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Unmapped gaps are passed over in silence, under CHECK_WPASYNC too: a range with holes can be
// scanned in one call, and a released range answers "nothing".
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(12);
    tracker.watch(memory);
    memory.write_all();
    CHECK_EQ(munmap(memory.page(4), 4 * page_size), 0);
    CHECK_EQ(tracker.check_registered(memory.start(), memory.size()), 0);
    CHECK_PAGES(tracker.get_and_reset(memory), {0, 1, 2, 3, 8, 9, 10, 11});
    CHECK_EQ(munmap(memory.start(), memory.size()), 0);
    CHECK_EQ(tracker.check_registered(memory.start(), memory.size()), 0);
    CHECK_PAGES(tracker.get_and_reset(memory), {});
    return finish();
}
