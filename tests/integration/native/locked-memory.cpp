// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A process that has all its future memory locked gets every mapping populated, which the kernel
// does as if the process had written to each page.
#include "tests/support/tracker.h"

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return Missing{"mlockall", "sanitizers make it do nothing"};
#endif
    if (mlockall(MCL_FUTURE) != 0)
        return Missing{"mlockall", "forbidden (RLIMIT_MEMLOCK, ulimit -l)"};
    return missing_backend();
}

TEST_CASE("locked memory is tracked exactly", "[native][locked]")
{
    const Tracker tracker;
    const Mapping m(8);
    REQUIRE(tracker.watch(m) == 0);
    CHECK(tracker.get(m).empty());
    m.write({1, 3});
    CHECK(m.read(5) == 0);
    CHECK(tracker.get_and_reset(m) == Numbers{1, 3});
    CHECK(tracker.get(m).empty());
}

// docs/deviations.md
TEST_CASE("fresh memory that was locked before it was watched is reported once", "[native][locked]")
{
    const Tracker tracker;
    const Mapping m(8);
    REQUIRE(tracker.watch(m, WW_FRESH) == 0);
    if (!is_mprotect())
        CHECK(tracker.get_and_reset(m).size() == 8);
    m.write({1, 3});
    CHECK(tracker.get_and_reset(m) == Numbers{1, 3});
    CHECK(tracker.get(m).empty());
}
