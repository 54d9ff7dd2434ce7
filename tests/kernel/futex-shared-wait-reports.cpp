// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A futex wait on a shared key pins its page for writing: reported although nothing was written. A
// private one only reads. (An over-report, listed in docs/deviations.md.)
#include "support.h"

#include <linux/futex.h>

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(4);
    tracker.watch(memory);
    // The value differs from what the page holds: the wait returns at once.
    CHECK_EQ(syscall(SYS_futex, memory.page(1), FUTEX_WAIT_PRIVATE, 1, nullptr, nullptr, 0), -1);
    CHECK_EQ(errno, EAGAIN);
    CHECK_PAGES(tracker.get(memory), {});
    CHECK_EQ(syscall(SYS_futex, memory.page(2), FUTEX_WAIT, 1, nullptr, nullptr, 0), -1);
    CHECK_EQ(errno, EAGAIN);
    const Pages found = tracker.get_and_reset(memory);
    note("a shared futex wait on untouched page 2 reports %s", to_string(found).c_str());
    CHECK(found.empty() || found == Pages{2});
    memory.write(2);
    CHECK_PAGES(tracker.get(memory), {2});
    return finish();
}
