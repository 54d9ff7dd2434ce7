// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A pagemap descriptor shows the process that opened it: inherited by a fork's child it still shows
// the parent, and a reset through it would edit the *parent's* page tables. The library opens its
// own in the child.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(4);
    tracker.watch(memory);
    memory.write(1);

    in_child([&] {
        memory.write(2); // the child's copy
        CHECK_PAGES(tracker.get_and_reset(memory), {1});
    });
    CHECK_PAGES(tracker.get(memory), {}); // the child reset it through the parent's descriptor
    memory.write(3);
    CHECK_PAGES(tracker.get(memory), {3});
    return finish();
}
