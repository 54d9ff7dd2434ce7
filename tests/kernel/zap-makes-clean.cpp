// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MADV_DONTNEED drops pages: for the qualified scan they are clean again, which is what Windows
// answers after a decommit, and the next write is seen. (The plain mask calls them written.)
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(8);
    tracker.watch(memory);
    memory.write_all();
    memory.advise(MADV_DONTNEED, 2, 3);
    CHECK_PAGES(tracker.get(memory), {0, 1, 5, 6, 7});
    note("plain mask after MADV_DONTNEED of {2-4}: %s",
         to_string(tracker.pages(memory, plain)).c_str());
    CHECK_PAGES(tracker.get_and_reset(memory), {0, 1, 5, 6, 7});

    memory.advise(MADV_DONTNEED, 0, 4); // armed and empty pages together
    CHECK_PAGES(tracker.get(memory), {});
    CHECK_EQ(memory.read(1), 0);
    CHECK_PAGES(tracker.get(memory), {});
    memory.write(1);
    memory.write(3);
    CHECK_PAGES(tracker.get(memory), {1, 3});
    return finish();
}
