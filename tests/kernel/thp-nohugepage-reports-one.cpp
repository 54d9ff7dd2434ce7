// SPDX-License-Identifier: LGPL-2.1-or-later
//
// With MADV_NOHUGEPAGE, set before the first access, one write reports one page, whatever the
// machine's setting is; and no collapse can undo it later.
#include "support.h"

using namespace kerneltest;

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

int main()
{
    const Tracker tracker;
    const Memory memory(2 * pages_per_huge_page, huge_page_size);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    memory.write(7);
    memory.read(pages_per_huge_page + 1); // no huge zero page either
    memory.write(pages_per_huge_page + 3);
    CHECK_PAGES(tracker.get_and_reset(memory), {7, pages_per_huge_page + 3});

    memory.write_all();
    tracker.get_and_reset(memory);
    CHECK_EQ(madvise(memory.start(), memory.size(), MADV_COLLAPSE), -1);
    CHECK_EQ(errno, EINVAL);
    memory.write(100);
    CHECK_PAGES(tracker.get_and_reset(memory), {100});

    // A new mapping over the range starts without the advice, and needs it again.
    std::string enabled;
    if (read_file("/sys/kernel/mm/transparent_hugepage/enabled", enabled))
        note("transparent_hugepage/enabled: %s", enabled.substr(0, enabled.find('\n')).c_str());
    return finish();
}
