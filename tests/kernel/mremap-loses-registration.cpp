// SPDX-License-Identifier: LGPL-2.1-or-later
//
// mremap (without UFFD_FEATURE_EVENT_REMAP) moves pages out of the registration: CHECK_WPASYNC
// answers EPERM at the new place, a reset passes over it, and after a registration the moved pages
// read as written: too many, never too few.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(4);
    const Memory target(4);
    tracker.watch(memory);
    memory.write_all();
    tracker.get_and_reset(memory);
    memory.write(2);

    void* const moved = mremap(memory.start(), memory.size(), memory.size(),
                               MREMAP_MAYMOVE | MREMAP_FIXED, target.start());
    CHECK(moved == target.start());
    CHECK_EQ(tracker.check_registered(target.start(), target.size()), EPERM);
    CHECK_PAGES(tracker.get_and_reset(target), {});

    tracker.watch(target);
    const Pages found = tracker.get_and_reset(target);
    note("moved and registered again: %s (written before the move: {2})", to_string(found).c_str());
    CHECK_PAGES(found, {0, 1, 2, 3});
    target.write(1);
    CHECK_PAGES(tracker.get(target), {1});
    return finish();
}
