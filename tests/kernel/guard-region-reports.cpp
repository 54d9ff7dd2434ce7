// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MADV_GUARD_INSTALL (6.13) leaves guard markers, which some kernels report as SWAPPED and WRITTEN:
// an over-report of pages that cannot even be accessed. After MADV_GUARD_REMOVE they are empty and
// clean, and a write is seen.
#include "support.h"

using namespace kerneltest;

namespace {

constexpr int guard_install = 102; // MADV_GUARD_INSTALL, MADV_GUARD_REMOVE
constexpr int guard_remove = 103;

} // namespace

int main()
{
    const Tracker tracker;
    const Memory memory(6);
    tracker.watch(memory);
    memory.write(0);
    memory.write(2);
    tracker.get_and_reset(memory);
    memory.write(0);
    if (madvise(memory.page(2), 2 * page_size, guard_install) != 0)
        skip("MADV_GUARD_INSTALL: %s", std::strerror(errno));
    const Pages found = tracker.get(memory);
    note("guard pages {2,3} and written page 0: %s", to_string(found).c_str());
    CHECK(!found.empty() && found[0] == 0);

    memory.advise(guard_remove, 2, 2);
    tracker.get_and_reset(memory);
    CHECK_PAGES(tracker.get(memory), {});
    memory.write(3);
    CHECK_PAGES(tracker.get(memory), {3});
    return finish();
}
