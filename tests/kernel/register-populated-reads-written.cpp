// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Memory that was populated before it was registered reads as written (its entries carry no
// write-protect mark), so existing memory is reset once when it is first watched. The zero page and
// what was never touched are clean from the start.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(6);
    memory.write(1);
    memory.write(2);
    memory.read(4);
    tracker.watch(memory);
    CHECK_PAGES(tracker.get_and_reset(memory), {1, 2});
    CHECK_PAGES(tracker.get(memory), {});
    memory.write(2);
    CHECK_PAGES(tracker.get(memory), {2});
    return finish();
}
