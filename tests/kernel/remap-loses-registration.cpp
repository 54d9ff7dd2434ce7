// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A MAP_FIXED mapping over watched pages drops their registration: CHECK_WPASYNC answers EPERM, and
// without it a scan that resets passes over the new mapping without a word. Registering it again
// before it is written loses nothing. This is why the host must be told (or told on: the preload
// sees ntdll's mmap) of every replaced mapping.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(12);
    tracker.watch(memory);
    memory.write_all();
    tracker.get_and_reset(memory);
    CHECK_EQ(tracker.check_registered(memory.start(), memory.size()), 0);

    memory.replace(4, 4);
    CHECK_EQ(tracker.check_registered(memory.start(), memory.size()), EPERM);
    CHECK_EQ(tracker.check_registered(memory.start(), 4 * page_size), 0);
    CHECK_EQ(tracker.check_registered(memory.page(8), 4 * page_size), 0);

    memory.write(5);
    CHECK_PAGES(tracker.get_and_reset(memory), {}); // page 5 is written, and nobody says so
    note("replaced and not registered: the qualified scan without a reset reports %s",
         to_string(tracker.get(memory)).c_str());

    // The right order: replace, register, then write.
    memory.replace(4, 4);
    tracker.watch(memory.page(4), 4 * page_size);
    CHECK_EQ(tracker.check_registered(memory.start(), memory.size()), 0);
    CHECK_PAGES(tracker.get_and_reset(memory), {});
    memory.write(1);
    memory.write(6);
    CHECK_PAGES(tracker.get_and_reset(memory), {1, 6});
    CHECK_PAGES(tracker.get(memory), {});
    return finish();
}
