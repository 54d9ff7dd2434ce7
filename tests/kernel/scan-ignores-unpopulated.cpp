// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The core of the qualified scan: a page that was never populated is clean without having been
// armed, in every kind of hole (entry missing in a page table, page table missing, whole range
// untouched), and a reset does not arm it either: the first write after it is seen.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(3 * pages_per_huge_page, huge_page_size);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    CHECK_PAGES(tracker.get(memory), {});
    CHECK_PAGES(tracker.get_and_reset(memory), {});

    memory.write(5); // a page table for the first 2 MiB
    CHECK_PAGES(tracker.get_and_reset(memory), {5});
    CHECK_PAGES(tracker.get(memory), {});

    memory.write(6);                           // entry was missing
    memory.write(2 * pages_per_huge_page + 9); // page table was missing
    CHECK_PAGES(tracker.get_and_reset(memory), {6, 2 * pages_per_huge_page + 9});
    CHECK_PAGES(tracker.get_and_reset(memory), {});
    return finish();
}
