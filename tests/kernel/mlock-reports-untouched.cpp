// SPDX-License-Identifier: LGPL-2.1-or-later
//
// mlock populates private memory by writing, so pages that nobody wrote are reported: an
// over-report that docs/deviations.md lists (Windows' VirtualLock may dirty pages too).
// MLOCK_ONFAULT does not, and is what the native VirtualLock would use.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(8);
    tracker.watch(memory);
    memory.write(5);
    tracker.get_and_reset(memory);

    if (mlock2(memory.start(), memory.size(), MLOCK_ONFAULT) != 0)
        skip("mlock2: %s", std::strerror(errno));
    CHECK_PAGES(tracker.get(memory), {});
    memory.write(2);
    CHECK_PAGES(tracker.get_and_reset(memory), {2});
    munlock(memory.start(), memory.size());

    if (mlock(memory.start(), memory.size()) != 0)
        skip("mlock: %s", std::strerror(errno));
    const Pages found = tracker.get_and_reset(memory);
    note("mlock of {0-7}, where 2 and 5 had been written and reset, reports %s",
         to_string(found).c_str());
    memory.write(4);
    CHECK_PAGES(tracker.get(memory), {4});
    return finish();
}
