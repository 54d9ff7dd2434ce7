// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MADV_POPULATE_WRITE is a write to every page, and reported so; MADV_POPULATE_READ maps the zero
// page and is not.
#include "support.h"

using namespace kerneltest;

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

int main()
{
    const Tracker tracker;
    const Memory memory(4);
    tracker.watch(memory);
    memory.advise(MADV_POPULATE_READ);
    CHECK_PAGES(tracker.get(memory), {});
    memory.advise(MADV_POPULATE_WRITE);
    CHECK_PAGES(tracker.get_and_reset(memory), {0, 1, 2, 3});
    memory.write(1);
    CHECK_PAGES(tracker.get(memory), {1});
    return finish();
}
