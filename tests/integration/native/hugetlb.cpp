// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The C API on hugetlb memory: exact in units of 2 MiB, asked about as a whole. Takes some huge
// pages from the kernel's pool, which it enlarges for the time of the test where it may.
#include "tests/support/settings.h"
#include "tests/support/tracker.h"

#include <fstream>

using namespace writewatch::test;

namespace {

constexpr const char* pool = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
constexpr std::size_t pages_of_huge = huge_page / page;

long read_pool()
{
    long pages = -1;
    std::ifstream(pool) >> pages;
    return pages;
}

Mapping map_huge(std::size_t huge_pages)
{
    Mapping m(huge_pages * pages_of_huge, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, huge_page);
    REQUIRE(m.error() == 0);
    return m;
}

Numbers of_huge(std::initializer_list<std::size_t> huge_pages)
{
    Numbers numbers;
    for (const std::size_t number : huge_pages) {
        for (std::size_t i = 0; i < pages_of_huge; ++i)
            numbers.push_back(number * pages_of_huge + i);
    }
    return numbers;
}

} // namespace

std::optional<Missing> writewatch::test::missing()
{
    if (auto backend = missing_backend())
        return backend;
    const long before = read_pool();
    if (before < 0)
        return Missing{"hugetlb", "the kernel has no huge pages of 2 MiB"};
    std::string text;
    if (!set_until_exit(pool, std::to_string(before + 16), text) || read_pool() < before + 16) {
        restore_settings();
        return Missing{"hugetlb", "no 16 huge pages to be had (needs root and free memory)"};
    }
    return std::nullopt;
}

TEST_CASE("hugetlb memory is tracked exactly, by its own pages", "[native][hugetlb]")
{
    const bool existing = GENERATE(false, true);
    const Tracker tracker;
    const Mapping m = map_huge(4);
    if (existing)
        std::memset(m.start(), 1, m.bytes());
    REQUIRE(tracker.watch(m) == 0);
    CHECK(tracker.get(m).empty());
    m.write({3, 3 * pages_of_huge + 7});
    CHECK(tracker.get(m) == of_huge({0, 3}));
    CHECK(tracker.get_and_reset(m) == of_huge({0, 3}));
    CHECK(tracker.get(m).empty());
    m.write(2 * pages_of_huge);
    CHECK(ww_reset(tracker, m.start(), m.bytes()) == 0);
    CHECK(tracker.get(m).empty());
    m.write(2 * pages_of_huge);
    ww_range ranges[4];
    CHECK(ww_collect_ranges(tracker, m.start(), m.bytes(), WW_RESET, ranges, 4) == 1);
    CHECK(ranges[0].end - ranges[0].start == huge_page);
}

TEST_CASE("a capacity that a huge page does not fit into loses nothing", "[native][hugetlb]")
{
    const Tracker tracker;
    const Mapping m = map_huge(4);
    REQUIRE(tracker.watch(m) == 0);
    m.write({0, pages_of_huge, 3 * pages_of_huge});
    Numbers all;
    for (int round = 0; round < 40; ++round) {
        const Numbers piece = tracker.collect(m, WW_RESET, 0, m.pages(), 100);
        all.insert(all.end(), piece.begin(), piece.end());
        if (piece.size() < 100)
            break;
    }
    CHECK(all == of_huge({0, 1, 3}));
    CHECK(tracker.get(m).empty());
    // While some of it waits in the latch, new writes are seen.
    m.write({0, 2 * pages_of_huge});
    CHECK(tracker.collect(m, WW_RESET, 0, m.pages(), 1) == Numbers{0});
    m.write(3 * pages_of_huge);
    Numbers rest = of_huge({0, 2, 3});
    rest.erase(rest.begin());
    CHECK(tracker.get_and_reset(m) == rest);
    CHECK(tracker.get(m).empty());
}

TEST_CASE("ranges that cut a huge page, or mix it with others, are refused", "[native][hugetlb]")
{
    const Tracker tracker;
    const Mapping m = map_huge(2);
    CHECK(ww_watch(tracker, m.at(1), huge_page, 0) == -EINVAL);
    CHECK(ww_watch(tracker, m.at(0), huge_page + page, 0) == -EINVAL);
    REQUIRE(tracker.watch(m) == 0);
    m.write(0);
    void* found[8];
    CHECK(ww_collect(tracker, m.at(0), huge_page, 0, found, 8) == -EINVAL);
    CHECK(ww_reset(tracker, m.at(0), huge_page) == -EINVAL);
    CHECK(tracker.get(m) == of_huge({0}));

    // Ordinary memory first: what the first page says is not what the last one is.
    const Mapping both(4 * pages_of_huge, MAP_PRIVATE | MAP_ANONYMOUS, -1, huge_page);
    REQUIRE(mmap(both.at(2 * pages_of_huge), 2 * huge_page, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0) != MAP_FAILED);
    both.write({0, 2 * pages_of_huge});
    CHECK(tracker.watch(both) == -EINVAL);
}

TEST_CASE("a child of fork over-reports hugetlb once", "[native][hugetlb]")
{
    const Tracker tracker;
    const Mapping m = map_huge(2);
    REQUIRE(tracker.watch(m) == 0);
    m.write(0);
    REQUIRE(tracker.get_and_reset(m) == of_huge({0}));
    CHECK(in_child([&] {
              const Numbers found = tracker.get_and_reset(m);
              if (!found.empty() && found != of_huge({0}))
                  return 1;
              m.write(pages_of_huge);
              const Numbers again = tracker.get_and_reset(m);
              return std::count(again.begin(), again.end(), pages_of_huge) == 1 ? 0 : 2;
          }) == 0);
    CHECK(tracker.get(m).empty());
}
