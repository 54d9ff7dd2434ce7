// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MADV_FREE only allows the kernel to drop pages later: until it does, written pages stay reported
// and clean ones clean, and a write to a page that was offered is seen. (Once dropped they are
// clean.)
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(4);
    tracker.watch(memory);
    memory.write(0);
    memory.write(1);
    tracker.get_and_reset(memory);
    memory.write(1);
    memory.advise(MADV_FREE);
    // 1, unless memory pressure took it in this moment; never 0.
    const Pages found = tracker.get(memory);
    CHECK(found == Pages{1} || found == Pages{});
    memory.write(0);
    memory.write(1);
    memory.write(3);
    CHECK_PAGES(tracker.get(memory), {0, 1, 3});
    return finish();
}
