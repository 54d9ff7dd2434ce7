// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A read of an empty range with huge pages on maps the huge zero page; a write to it then counts
// for one page or for all 512, depending on the kernel, but always includes the page that was
// written. Before 6.12.x PFNZERO did not cover the huge zero page, so reading alone over-reports
// there. With MADV_NOHUGEPAGE neither happens.
#include "support.h"

#include <algorithm>

using namespace kerneltest;

int main()
{
    require_thp();
    const Tracker tracker;
    const Memory memory(pages_per_huge_page, huge_page_size);
    memory.advise(MADV_HUGEPAGE);
    tracker.watch(memory);
    memory.read(3);
    if ((tracker.categories(memory, 3) & page_is_huge) == 0)
        skip("the kernel mapped no huge zero page");
    const Pages after_read = tracker.get_and_reset(memory);
    note("a read of the huge zero page reports %zu pages", after_read.size());
    CHECK(after_read.empty() || after_read.size() == pages_per_huge_page);
    CHECK_PAGES(tracker.get(memory), {});

    memory.write(7);
    const Pages after_write = tracker.get(memory);
    note("a write to it reports %zu pages", after_write.size());
    CHECK(std::find(after_write.begin(), after_write.end(), 7) != after_write.end());
    return finish();
}
