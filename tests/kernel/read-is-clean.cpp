// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Reads are never writes: the first read of an empty page maps the zero page, which the qualified
// scan leaves out; a read of an armed page changes nothing. A write to a page that maps the zero
// page is seen.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(4);
    tracker.watch(memory);
    CHECK_EQ(memory.read(1), 0);
    CHECK_PAGES(tracker.get(memory), {});
    CHECK((tracker.categories(memory, 1) & (page_is_present | page_is_pfnzero)) ==
          (page_is_present | page_is_pfnzero));
    note("zero page mapped by a read: the plain mask reports %s",
         to_string(tracker.pages(memory, plain)).c_str());

    memory.write(2, 7);
    CHECK_PAGES(tracker.get_and_reset(memory), {2});
    CHECK_EQ(memory.read(2), 7);
    CHECK_PAGES(tracker.get(memory), {});

    memory.write(1);
    CHECK_PAGES(tracker.get(memory), {1});
    return finish();
}
