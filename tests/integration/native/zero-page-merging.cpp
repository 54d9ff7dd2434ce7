// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Where KSM merges pages of zeroes into the zero page, a written page can come to look like one
// that was only read. So pages that were only read are reported, too, and nothing else changes.
// Switches the setting on for the time of the test.
#include "tests/support/settings.h"
#include "tests/support/tracker.h"

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
    if (auto backend = missing_backend())
        return backend;
    std::string before;
    if (!set_until_exit("/sys/kernel/mm/ksm/use_zero_pages", "1", before))
        return Missing{"ksm", before.empty() ? "the kernel has no use_zero_pages"
                                             : "use_zero_pages cannot be set (needs root)"};
    return std::nullopt;
}

TEST_CASE("pages that were only read are reported, and no others", "[native][ksm]")
{
    const Tracker tracker;
    const Mapping m(8);
    REQUIRE(tracker.watch(m, WW_FRESH) == 0);
    CHECK(tracker.get(m).empty());
    m.write({1, 3});
    CHECK(m.read(5) == 0);
    CHECK(tracker.get_and_reset(m) == Numbers{1, 3, 5});
    CHECK(m.read(1) != 0);
    CHECK(m.read(5) == 0);
    CHECK(tracker.get(m).empty());
    m.write({5});
    CHECK(tracker.get_and_reset(m) == Numbers{5});
    CHECK(tracker.get(m).empty());
}
