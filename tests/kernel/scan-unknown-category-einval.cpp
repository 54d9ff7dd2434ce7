// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A category that the kernel does not know is EINVAL in each of the four masks: that is how a
// category is probed. The seven of Linux 6.7 are always there; later ones are printed.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(1);
    const auto answer = [&](const Masks& masks) {
        PmScanArg arg = scan_arg(memory.start(), memory.size(), masks);
        return tracker.scan(arg) < 0 ? errno : 0;
    };

    constexpr std::uint64_t unknown = std::uint64_t{1} << 63;
    CHECK_EQ(answer({unknown, page_is_written, 0, page_is_written}), EINVAL);
    CHECK_EQ(answer({0, page_is_written | unknown, 0, page_is_written}), EINVAL);
    CHECK_EQ(answer({0, page_is_written, unknown, page_is_written}), EINVAL);
    CHECK_EQ(answer({0, page_is_written, 0, page_is_written | unknown}), EINVAL);

    for (unsigned bit = 0; bit <= 6; ++bit) {
        const std::uint64_t category = std::uint64_t{1} << bit;
        CHECK_EQ(answer({category, category, category, category}), 0);
    }
    note("SOFT_DIRTY (6.8): %s, GUARD (after 6.12): %s",
         answer({0, page_is_soft_dirty, 0, 0}) == 0 ? "yes" : "no",
         answer({0, page_is_guard, 0, 0}) == 0 ? "yes" : "no");
    return finish();
}
