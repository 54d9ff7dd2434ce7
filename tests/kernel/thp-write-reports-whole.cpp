// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One write to a huge page makes all of its 512 pages written: why every watched range gets
// MADV_NOHUGEPAGE before it is populated (thp-nohugepage-reports-one). After a reset the huge page
// is split at the next write, and that one is exact.
#include "support.h"

using namespace kerneltest;

int main()
{
    require_thp();
    const Tracker tracker;
    const Memory memory(pages_per_huge_page, huge_page_size);
    memory.advise(MADV_HUGEPAGE);
    tracker.watch(memory);
    memory.write(7);
    if ((tracker.categories(memory, 7) & page_is_huge) == 0)
        skip("the kernel gave no huge page");
    const Pages found = tracker.get_and_reset(memory);
    note("one write to a huge page reports %zu pages", found.size());
    CHECK_PAGES(found, (page_range(0, pages_per_huge_page - 1)));
    CHECK_PAGES(tracker.get(memory), {});

    memory.write(9);
    const Pages after_reset = tracker.get(memory);
    note("one write after a reset reports %zu pages", after_reset.size());
    CHECK(after_reset == Pages{9} || after_reset.size() == pages_per_huge_page);
    return finish();
}
