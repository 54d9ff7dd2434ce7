// SPDX-License-Identifier: LGPL-2.1-or-later
//
// fork does not disturb the parent: its clean pages stay clean, its written pages written, and a
// write after the fork (a copy-on-write fault on top of the write-protect fault) is seen once per
// reset.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(8);
    tracker.watch(memory);
    memory.write_all();
    tracker.get_and_reset(memory);
    memory.write(2);

    int gate[2];
    if (pipe(gate) != 0)
        die("pipe");
    const pid_t child = fork();
    if (child == 0) {
        char byte = 0;
        _exit(read(gate[0], &byte, 1) == 1 ? 0 : 1); // keeps the pages shared until told to go
    }
    CHECK_PAGES(tracker.get(memory), {2});
    memory.write(5);
    CHECK_PAGES(tracker.get_and_reset(memory), {2, 5});
    CHECK_PAGES(tracker.get(memory), {});
    memory.write(2);
    memory.write(6);
    CHECK_PAGES(tracker.get_and_reset(memory), {2, 6});

    CHECK_EQ(write(gate[1], "x", 1), 1);
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    memory.write(5);
    CHECK_PAGES(tracker.get_and_reset(memory), {5});
    return finish();
}
