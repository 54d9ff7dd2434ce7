// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MADV_UNMERGEABLE on the watched range keeps KSM away from it, also in a process that has switched
// merging on for all of its memory (PR_SET_MEMORY_MERGE, Linux 6.4) before. The prctl made *after*
// the watch takes the memory in again: printed, and documented as a limit.
#include "ksm.h"

using namespace kerneltest;

namespace {

// Memory with one written page of zeros among clean ones.
void prepare(const Tracker& tracker, const Memory& memory)
{
    tracker.watch(memory);
    memory.write_all();
    tracker.get_and_reset(memory);
    std::memset(memory.page(7), 0, page_size);
}

} // namespace

int main()
{
    const Tracker tracker;
    run_ksm(true);
    const bool merge_any = prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) == 0;
    note("PR_SET_MEMORY_MERGE: %s", merge_any ? "on" : std::strerror(errno));

    const Memory memory(64);
    memory.advise(MADV_NOHUGEPAGE);
    if (!merge_any)
        memory.advise(MADV_MERGEABLE);
    memory.advise(MADV_UNMERGEABLE);
    prepare(tracker, memory);

    // The same without the advice shows that KSM was at work.
    const Memory control(64);
    control.advise(MADV_NOHUGEPAGE);
    if (!merge_any)
        control.advise(MADV_MERGEABLE);
    prepare(tracker, control);
    const auto merged = [&](const Memory& m) {
        return (tracker.categories(m, 7) & page_is_pfnzero) != 0;
    };
    if (!wait_for_ksm([&] { return merged(control); }))
        skip("KSM did not merge the control page");
    CHECK_PAGES(tracker.get(memory), {7});

    if (!merge_any)
        return finish();
    CHECK_EQ(prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0), 0);
    wait_for_ksm([&] { return merged(memory); });
    note("PR_SET_MEMORY_MERGE after the watch: the page of zeros is %s",
         to_string(tracker.get(memory)) == "{7}" ? "kept" : "lost");
    return finish();
}
