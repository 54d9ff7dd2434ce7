// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A registration does not follow into a fork's child: there, CHECK_WPASYNC answers EPERM and no
// reset happens; the child's populated pages read as written (or, on kernels that report WRITTEN in
// registered memory only, as nothing: so the library does not ask, it says "all populated").
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(4);
    tracker.watch(memory);
    memory.write_all();
    tracker.get_and_reset(memory);

    in_child([&] {
        const Tracker own; // a pagemap and a userfaultfd of the child's own
        CHECK_EQ(own.check_registered(memory.start(), memory.size()), EPERM);
        CHECK_PAGES(own.get_and_reset(memory), {});
        const Pages found = own.get(memory);
        note("child, not registered: %s", to_string(found).c_str());
        CHECK(found.empty() || found.size() == memory.pages());

        // Registered again, everything populated is written; from there on it is exact.
        own.watch(memory);
        CHECK_PAGES(own.get_and_reset(memory), {0, 1, 2, 3});
        memory.write(3);
        CHECK_PAGES(own.get(memory), {3});
    });
    CHECK_PAGES(tracker.get(memory), {}); // the child's writes are the child's
    return finish();
}
