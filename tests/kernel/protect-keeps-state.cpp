// SPDX-License-Identifier: LGPL-2.1-or-later
//
// mprotect neither sets nor clears anything, through PROT_NONE, read-only and back: written pages
// stay reported (also while they cannot be accessed, where they can be reset too), clean ones stay
// clean, and the first write after the round trip is seen although the kernel may make entries
// writable early.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    for (const int protection : {PROT_NONE, PROT_READ}) {
        const Memory memory(8);
        tracker.watch(memory);
        memory.write(1);
        memory.write(3);
        tracker.get_and_reset(memory);
        memory.write(5);
        memory.write(6);
        memory.read(7);

        memory.protect(protection);
        CHECK_PAGES(tracker.get(memory), {5, 6});
        memory.protect(PROT_READ | PROT_WRITE);
        CHECK_PAGES(tracker.get(memory), {5, 6});

        memory.protect(protection, 4, 4); // part of the range: VMAs split and merge again
        CHECK_PAGES(tracker.get_and_reset(memory), {5, 6});
        CHECK_PAGES(tracker.get(memory), {});
        memory.protect(PROT_READ | PROT_WRITE, 4, 4);
        CHECK_PAGES(tracker.get(memory), {});

        for (const std::size_t page : Pages{1, 5, 7})
            memory.write(page);
        CHECK_PAGES(tracker.get(memory), {1, 5, 7});
    }
    return finish();
}
