// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A VMA belongs to one userfaultfd: a second one gets EBUSY, and the first goes on working. The
// same userfaultfd may register a range again, which changes nothing (a re-registration needs no
// look-up).
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker first;
    const Tracker second;
    const Memory memory(4);
    first.watch(memory);
    memory.write(1);
    CHECK_EQ(second.try_watch(memory.start(), memory.size()), EBUSY);
    CHECK_EQ(second.try_watch(memory.page(2), page_size), EBUSY);
    CHECK_PAGES(first.get_and_reset(memory), {1});

    memory.write(3);
    CHECK_EQ(first.try_watch(memory.start(), memory.size()), 0);
    CHECK_PAGES(first.get_and_reset(memory), {3});
    CHECK_PAGES(first.get_and_reset(memory), {});
    return finish();
}
