// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The promises of shim/core/watch_set.h, one thread at a time.
#include "tests/support/fake_watch_set.h"

#include <cerrno>
#include <sys/wait.h>
#include <unistd.h>

using namespace writewatch;
using namespace writewatch::test;
using core::OnOverlap;
using Step = backend::Fake::Step;
using Moment = backend::Fake::Moment;

std::optional<test::Missing> test::missing()
{
    return std::nullopt;
}

namespace {

constexpr PageRange region = pages(base, 0, 64);

// Pages of a merge window (watch_set.cpp): results that span windows need more than this.
constexpr std::size_t window_pages = 4096;

Numbers numbers(std::size_t first, std::size_t count, std::size_t step = 1)
{
    Numbers list;
    for (std::size_t i = 0; i < count; ++i)
        list.push_back(first + i * step);
    return list;
}

} // namespace

TEST_CASE("get answers the written pages of its range, ascending", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    CHECK(watches.get(region).empty());
    watches.write({63, 7, 8, 0});
    CHECK(watches.get(region) == Numbers{0, 7, 8, 63});
    CHECK(watches.get(pages(base, 1, 7)) == Numbers{7});
    CHECK(watches.get(pages(base, 9, 54)).empty());
}

TEST_CASE("get without reset changes nothing, with reset exactly what it returned", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({1, 2, 3, 20});
    CHECK(watches.get(region, 2) == Numbers{1, 2});
    CHECK(watches.get(region) == Numbers{1, 2, 3, 20});
    CHECK(watches.get_and_reset(region, 2) == Numbers{1, 2});
    CHECK(watches.get(region) == Numbers{3, 20});
    CHECK(watches.get_and_reset(pages(base, 20, 1)) == Numbers{20});
    CHECK(watches.get_and_reset(region) == Numbers{3});
    CHECK(watches.get_and_reset(region).empty());
}

TEST_CASE("a result of many steps is whole", "[watch-set]")
{
    FakeWatchSet watches;
    const PageRange large = pages(base, 0, 4096);
    watches.watch(large);
    for (std::size_t i = 0; i < 4096; i += 2)
        watches.fake.write(base + i * page_size);
    watches.fake.runs_per_step = GENERATE(1u, 7u, 512u, 100'000u);
    CHECK(watches.get(large) == numbers(0, 2048, 2));
    CHECK(watches.get_and_reset(large, 1000) == numbers(0, 1000, 2));
    CHECK(watches.get(large) == numbers(2000, 1048, 2));
}

TEST_CASE("runs are as long as possible", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({0, 1, 2, 10, 12, 13, 63});
    CHECK(watches.runs(region, false) ==
          std::vector{pages(base, 0, 3), pages(base, 10), pages(base, 12, 2), pages(base, 63)});
    CHECK(watches.runs(region, true, 2) == std::vector{pages(base, 0, 3), pages(base, 10)});
    CHECK(watches.get(region) == Numbers{12, 13, 63});
}

TEST_CASE("runs are as long as possible when latched pages are among them", "[watch-set]")
{
    FakeWatchSet watches;
    const PageRange large = pages(base, 0, 3 * window_pages);
    watches.watch(large);
    const std::size_t first = window_pages - 100;
    watches.fake.write(pages(base, first, 200));
    REQUIRE(watches.set.latch(pages(base, first, 50)));
    watches.fake.drop(pages(base, first, 50));
    const bool reset = GENERATE(false, true);
    CHECK(watches.runs(large, reset, 1) == std::vector{pages(base, first, 200)});
    CHECK(watches.get(large).size() == (reset ? 0 : 200));
}

TEST_CASE("the range must lie in one region", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(pages(base, 0, 8));
    watches.watch(pages(base, 8, 8));
    for (const PageRange range : {pages(base, 7, 2), pages(base, 15, 2), pages(base, 16, 1),
                                  pages(base - page_size, 0, 2), pages(base, 3, 0)}) {
        CAPTURE(range);
        CHECK(watches.try_get(range, false).first == ENOENT);
        CHECK(watches.try_get(range, true).first == ENOENT);
        const auto reset = watches.set.reset(range);
        CHECK((!reset && reset.error().code == ENOENT));
    }
}

TEST_CASE("no room for results: nothing is returned and nothing reset", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({5});
    CHECK(watches.get_and_reset(region, 0).empty());
    REQUIRE(watches.set.latch(region));
    CHECK(watches.get_and_reset(region, 0).empty());
    CHECK(watches.runs(region, true, 0).empty());
    CHECK(watches.get(region) == Numbers{5});
}

// The kernel resets them whole, whatever the room for results.
TEST_CASE("huge pages that do not fit stay reported", "[watch-set]")
{
    FakeWatchSet watches;
    const PageRange huge = pages(base, 0, 1024);
    REQUIRE(watches.set.watch({.range = huge, .mode = backend::Mode::armed_huge},
                              core::OnOverlap::fail));
    watches.fake.write(pages(base, 0, 512));
    SECTION("as pages")
    {
        const bool some_are_latched = GENERATE(false, true);
        CAPTURE(some_are_latched);
        if (some_are_latched)
            REQUIRE(watches.set.latch(pages(base, 50, 100)));
        CHECK(watches.get_and_reset(huge, 100).size() == 100);
        const Numbers rest = watches.get_and_reset(huge);
        REQUIRE(rest.size() == 412);
        CHECK(rest.front() == 100);
        CHECK(rest.back() == 511);
    }
    SECTION("as runs")
    {
        watches.fake.write(pages(base, 600, 8));
        watches.fake.write(pages(base, 700, 8));
        CHECK(watches.runs(huge, true, 1) == std::vector{pages(base, 0, 512)});
        CHECK(watches.runs(huge, true, 10) ==
              std::vector{pages(base, 600, 8), pages(base, 700, 8)});
    }
    CHECK(watches.get(huge).empty());
}

TEST_CASE("watch: overlaps, empty and impossible ranges", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(pages(base, 8, 8));
    for (const PageRange range :
         {pages(base, 8, 8), pages(base, 15, 10), pages(base, 0, 9), pages(base, 0, 64)}) {
        const auto again = watches.try_watch(range);
        REQUIRE_FALSE(again);
        CHECK(again.error().code == EEXIST);
    }
    CHECK(watches.try_watch(pages(base, 3, 0)).error().code == EINVAL);
    CHECK(watches.try_watch({address_space_end - page_size, address_space_end + page_size})
              .error()
              .code == EINVAL);
    CHECK(watches.try_watch(pages(base, 16, 8)));
    CHECK(watches.try_watch(pages(base, 0, 8)));
    CHECK(watches.try_watch({address_space_end - page_size, address_space_end}));
    CHECK(watches.try_watch({0, page_size}));
}

TEST_CASE("a watch that fails leaves nothing watched that was not before", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(pages(base, 0, 4));
    watches.write({1});
    watches.fake.fail_call(Step::track, 0, ENOMEM);
    const auto failed = watches.try_watch(pages(base, 4, 4));
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == ENOMEM);
    CHECK_FALSE(watches.set.find(base + 4 * page_size));
    CHECK(watches.get(pages(base, 0, 4)) == Numbers{1});
    CHECK(watches.try_watch(pages(base, 4, 4)));
}

TEST_CASE("watching again in place of what was there: clean, nothing latched", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(pages(base, 0, 16));
    const auto before = watches.set.find(base);
    watches.write({2, 9, 14});
    REQUIRE(watches.set.latch(pages(base, 0, 16)));
    REQUIRE(watches.try_watch(pages(base, 8, 4), OnOverlap::replace));
    CHECK(watches.get(pages(base, 8, 4)).empty());
    CHECK(watches.get(pages(base, 0, 8)) == Numbers{2});
    CHECK(watches.get(pages(base, 12, 4)) == Numbers{14});
    CHECK(watches.set.find(base)->id == before->id);
    CHECK(watches.set.find(base + 8 * page_size)->id > before->id);
}

TEST_CASE("reset makes its range clean, latched pages included", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({3, 4, 5});
    REQUIRE(watches.set.latch(region));
    REQUIRE(watches.set.reset(pages(base, 4, 1)));
    CHECK(watches.get(region) == Numbers{3, 5});
    REQUIRE(watches.set.reset(region));
    CHECK(watches.get(region).empty());
}

TEST_CASE("latched pages stay reported when their contents go, until they are reset", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({3, 40});
    REQUIRE(watches.set.latch(pages(base, 0, 6)));
    watches.write({5});
    watches.fake.drop(region);
    CHECK(watches.get(region) == Numbers{3});
    watches.write({2, 4, 6});
    CHECK(watches.get(region) == Numbers{2, 3, 4, 6});
    CHECK(watches.get_and_reset(region, 2) == Numbers{2, 3});
    CHECK(watches.get_and_reset(region) == Numbers{4, 6});
    CHECK(watches.get(region).empty());
}

TEST_CASE("latch works on every watched part of its range and skips the rest", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(pages(base, 4, 4));
    watches.watch(pages(base, 12, 4));
    watches.write({4, 7, 12, 15});
    REQUIRE(watches.set.latch(pages(base, 7, 7)));
    REQUIRE(watches.set.latch(pages(base, 100, 7)));
    watches.fake.drop(region);
    CHECK(watches.get(pages(base, 4, 4)) == Numbers{7});
    CHECK(watches.get(pages(base, 12, 4)) == Numbers{12});
}

TEST_CASE("latched and written pages merge across windows", "[watch-set]")
{
    FakeWatchSet watches;
    const PageRange large = pages(base, 3, 3 * window_pages); // not aligned to a window or word
    watches.watch(large);
    Numbers expected;
    for (std::size_t i = 3; i < 3 * window_pages; i += 97) {
        watches.fake.write(base + i * page_size);
        expected.push_back(i);
    }
    REQUIRE(watches.set.latch(large));
    watches.fake.drop(large);
    for (std::size_t i = 3; i < 3 * window_pages; i += 89) {
        watches.fake.write(base + i * page_size);
        expected.push_back(i);
    }
    std::sort(expected.begin(), expected.end());
    expected.erase(std::unique(expected.begin(), expected.end()), expected.end());

    CHECK(watches.get(large) == expected);
    // By small pieces, each of which resets exactly what it returns.
    watches.fake.runs_per_step = 5;
    Numbers collected;
    for (;;) {
        const Numbers piece = watches.get_and_reset(large, 10);
        collected.insert(collected.end(), piece.begin(), piece.end());
        if (piece.size() < 10)
            break;
    }
    CHECK(collected == expected);
    CHECK(watches.get(large).empty());
}

TEST_CASE("a page that a partial get did not return is not latched by it", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({3});
    REQUIRE(watches.set.latch(pages(base, 3)));
    watches.write({5});
    CHECK(watches.get_and_reset(region, 1) == Numbers{3});
    watches.fake.drop(region); // 5 was written, but never latched: clean
    CHECK(watches.get(region).empty());
}

TEST_CASE("forget drops, trims and splits; what is left keeps its state", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(pages(base, 0, 16));
    watches.write({0, 5, 15});
    REQUIRE(watches.set.latch(pages(base, 0, 16)));
    REQUIRE(watches.set.forget(pages(base, 4, 4)));
    CHECK_FALSE(watches.set.find(base + 5 * page_size));
    CHECK(watches.get(pages(base, 0, 4)) == Numbers{0});
    CHECK(watches.get(pages(base, 8, 8)) == Numbers{15});
    CHECK(watches.try_get(pages(base, 0, 16), false).first == ENOENT);

    REQUIRE(watches.set.forget(pages(base, 0, 100)));
    CHECK_FALSE(watches.set.find(base));
    CHECK_FALSE(watches.set.find(base + 15 * page_size));
    // The same addresses again: nothing of the old state shows.
    watches.watch(pages(base, 0, 16));
    CHECK(watches.get(pages(base, 0, 16)).empty());
}

TEST_CASE("forget of what is not watched does nothing", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(pages(base, 4, 4));
    CHECK(watches.set.forget(pages(base, 0, 4)));
    CHECK(watches.set.forget(pages(base, 8, 4)));
    CHECK(watches.set.forget(pages(base, 6, 0)));
    CHECK(watches.set.forget(PageRange{address_space_end, address_space_end + page_size}));
    CHECK(watches.set.find(base + 4 * page_size)->range == pages(base, 4, 4));
    CHECK(watches.fake.calls(Step::forget) == 0);
}

TEST_CASE("forget by region drops that very region only", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(pages(base, 0, 8));
    const auto old = watches.set.find(base);
    REQUIRE(old);

    SECTION("as it was")
    {
        watches.set.forget(*old, old->range);
        CHECK_FALSE(watches.set.find(base));
    }
    SECTION("not the one that has taken its place")
    {
        REQUIRE(watches.try_watch(pages(base, 0, 8), OnOverlap::replace));
        watches.write({1});
        watches.set.forget(*old, old->range);
        CHECK(watches.get(pages(base, 0, 8)) == Numbers{1});
    }
    SECTION("not a smaller one at its start")
    {
        REQUIRE(watches.set.forget(pages(base, 0, 8)));
        watches.watch(pages(base, 0, 4));
        watches.set.forget(*old, old->range);
        CHECK(watches.set.find(base));
    }
    SECTION("a part of it")
    {
        watches.set.forget(*old, pages(base, 2, 4));
        CHECK(watches.set.find(base)->range == pages(base, 0, 2));
        CHECK(watches.set.find(base + 6 * page_size)->range == pages(base, 6, 2));
        CHECK_FALSE(watches.set.find(base + 3 * page_size));
    }
    SECTION("what is left of it after its start was cut off")
    {
        REQUIRE(watches.set.forget(pages(base, 0, 2)));
        watches.set.forget(*old, old->range);
        CHECK_FALSE(watches.set.find(base + 2 * page_size));
    }
    SECTION("what is left of it after its start was watched anew")
    {
        REQUIRE(watches.try_watch(pages(base, 0, 2), OnOverlap::replace));
        watches.set.forget(*old, old->range);
        CHECK(watches.set.find(base));
        CHECK_FALSE(watches.set.find(base + 2 * page_size));
    }
}

TEST_CASE("unwatch ends the tracking of the part, in every region of the range", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(pages(base, 0, 8));
    watches.watch(pages(base, 8, 8));
    watches.write({1, 6, 9, 14});
    REQUIRE(watches.set.unwatch(pages(base, 4, 8)));
    CHECK_FALSE(watches.fake.is_tracked(base + 4 * page_size));
    CHECK_FALSE(watches.fake.is_tracked(base + 11 * page_size));
    CHECK(watches.fake.is_tracked(base + 12 * page_size));
    CHECK(watches.get(pages(base, 0, 4)) == Numbers{1});
    CHECK(watches.get(pages(base, 12, 4)) == Numbers{14});
    CHECK(watches.set.unwatch(pages(base, 100, 4)));
    CHECK(watches.set.unwatch({0, address_space_end}));
    CHECK_FALSE(watches.set.find(base));
}

// A region in the table that nobody tracks would lose every write from then on.
TEST_CASE("an unwatch that fails half-way leaves no region that is not tracked", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(pages(base, 0, 8));
    watches.watch(pages(base, 8, 8));
    watches.fake.fail_call(Step::untrack, 1, ENOMEM);
    CHECK_FALSE(watches.set.unwatch(pages(base, 0, 16)));
    for (std::size_t i = 0; i < 16; ++i) {
        CAPTURE(i);
        if (watches.set.find(base + i * page_size))
            CHECK(watches.fake.is_tracked(base + i * page_size));
    }
    watches.write({9});
    CHECK(watches.get(pages(base, 8, 8)) == Numbers{9});
}

TEST_CASE("replaced memory is tracked again and clean, except latched pages", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(pages(base, 0, 8));
    watches.watch(pages(base, 8, 8));
    watches.write({1, 6, 9, 14});
    REQUIRE(watches.set.latch(pages(base, 6, 1)));
    watches.fake.lose(pages(base, 4, 8));
    REQUIRE(watches.set.memory_replaced(pages(base, 4, 8), 5));
    CHECK(watches.fake.protection == 5);
    CHECK(watches.fake.is_tracked(base + 4 * page_size));
    CHECK(watches.get(pages(base, 0, 8)) == Numbers{1, 6});
    CHECK(watches.get(pages(base, 8, 8)) == Numbers{14});
    CHECK(watches.set.memory_replaced(pages(base, 100, 8), 3));
}

TEST_CASE("a get that fails after it consumed gives everything back", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({1, 3, 5, 7, 9});
    watches.fake.runs_per_step = 1;
    const bool as_runs = GENERATE(false, true);
    const unsigned step = GENERATE(0u, 1u, 2u, 4u);
    const int error = GENERATE(ENOMEM, EFAULT, EIO, EAGAIN);
    CAPTURE(as_runs, step, error);
    watches.fake.fail_call(Step::scan, step, error);
    if (as_runs) {
        std::vector<PageRange> out(10);
        const auto failed = watches.set.get(region, true, std::span<PageRange>(out));
        REQUIRE_FALSE(failed);
        CHECK(failed.error().code == error);
    } else {
        CHECK(watches.try_get(region, true).first == error);
    }
    CHECK(watches.get(region) == Numbers{1, 3, 5, 7, 9});
    CHECK(watches.get_and_reset(region) == Numbers{1, 3, 5, 7, 9});
    CHECK(watches.get(region).empty());
}

TEST_CASE("a get over latched pages that fails gives everything back", "[watch-set]")
{
    FakeWatchSet watches;
    const PageRange large = pages(base, 0, 2 * window_pages);
    watches.watch(large);
    watches.write({1, 3, 5, 7, 9, window_pages + 1, window_pages + 3});
    REQUIRE(watches.set.latch(pages(base, 3, 3)));
    REQUIRE(watches.set.latch(pages(base, window_pages, 2)));
    watches.fake.runs_per_step = 2;
    // Three looks and three resets in the first window, one of each in the second.
    const unsigned step = GENERATE(0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u);
    CAPTURE(step);
    watches.fake.fail_call(Step::scan, step, ENOMEM);
    CHECK(watches.try_get(large, true).first == ENOMEM);
    const Numbers expected{1, 3, 5, 7, 9, window_pages + 1, window_pages + 3};
    CHECK(watches.get(large) == expected);
    CHECK(watches.get_and_reset(large) == expected);
    CHECK(watches.get(large).empty());
}

TEST_CASE("a get whose first look fails has changed nothing", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({1});
    watches.fake.fail_call(Step::skip_clean, 0, ENOMEM);
    CHECK(watches.try_get(region, true).first == ENOMEM);
    CHECK(watches.get(region) == Numbers{1});
}

TEST_CASE("a latch that fails says so", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({1, 3});
    watches.fake.runs_per_step = 1;
    watches.fake.fail_call(Step::scan, 1, ENOMEM);
    const auto failed = watches.set.latch(region);
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == ENOMEM);
    CHECK(watches.get(region) == Numbers{1, 3});
}

TEST_CASE("a lost registration is made again, and what is populated there is reported",
          "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({2, 50});
    watches.fake.lose(pages(base, 40, 20));

    SECTION("by a get")
    {
        CHECK(watches.get(region) == Numbers{2, 50});
    }
    SECTION("by a get with reset that had consumed pages by then")
    {
        CHECK(watches.get_and_reset(region) == Numbers{2, 50});
        CHECK(watches.get(region).empty());
    }
    SECTION("by a latch")
    {
        REQUIRE(watches.set.latch(region));
        watches.fake.drop(region);
        CHECK(watches.get(region) == Numbers{2, 50});
    }
    SECTION("by a reset")
    {
        REQUIRE(watches.set.reset(region));
        CHECK(watches.get(region).empty());
    }
    CHECK(watches.fake.is_tracked(base + 50 * page_size));
}

TEST_CASE("a registration that is lost again and again is an error in the end, not a loop",
          "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({2, 50});
    watches.fake.on_step = [&](Step step, Moment moment) {
        if (step == Step::track && moment == Moment::after)
            watches.fake.lose(pages(base, 40, 1));
    };
    watches.fake.lose(pages(base, 40, 1));
    CHECK(watches.try_get(region, true).first == EPERM);
    const auto reset = watches.set.reset(region);
    REQUIRE_FALSE(reset);
    CHECK(reset.error().code == EPERM);
    watches.fake.on_step = nullptr;
    // Over-reported at most.
    const Numbers found = watches.get(region);
    CHECK(std::count(found.begin(), found.end(), 2) == 1);
    CHECK(std::count(found.begin(), found.end(), 50) == 1);
}

TEST_CASE("a lost registration that cannot be made again fails the call and loses nothing",
          "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({2, 50});
    watches.fake.lose(pages(base, 40, 1));
    watches.fake.fail_call(Step::track, 0, ENOMEM);

    SECTION("get")
    {
        CHECK(watches.try_get(region, true).first == ENOMEM);
    }
    SECTION("reset, which has made page 2 clean by then")
    {
        const auto failed = watches.set.reset(region);
        REQUIRE_FALSE(failed);
        CHECK(failed.error().code == ENOMEM);
    }
    const Numbers found = watches.get(region);
    CHECK(std::count(found.begin(), found.end(), 2) == 1);
    CHECK(std::count(found.begin(), found.end(), 50) == 1);
}

TEST_CASE("a reset that fails after some pages loses none", "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({2, 50});
    watches.fake.fail_call(Step::reset, 0, ENOMEM, 10);
    const auto failed = watches.set.reset(region);
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == ENOMEM);
    const Numbers found = watches.get(region);
    CHECK(std::count(found.begin(), found.end(), 2) == 1);
    CHECK(std::count(found.begin(), found.end(), 50) == 1);
}

TEST_CASE("for_each_watched visits the watched parts, ascending, until it is told to stop",
          "[watch-set]")
{
    FakeWatchSet watches;
    watches.watch(pages(base, 2, 4));
    watches.watch(pages(base, 6, 4));
    watches.watch(pages(base, 20, 4));
    std::vector<PageRange> seen;
    REQUIRE(watches.set.for_each_watched(pages(base, 4, 18),
                                         [&](PageRange part, const core::Region&) -> Result<void> {
                                             seen.push_back(part);
                                             return {};
                                         }));
    CHECK(seen == std::vector{pages(base, 4, 2), pages(base, 6, 4), pages(base, 20, 2)});
    seen.clear();
    const auto stopped = watches.set.for_each_watched(
        {0, address_space_end}, [&](PageRange part, const core::Region&) -> Result<void> {
            seen.push_back(part);
            return fail(EINTR, "enough");
        });
    REQUIRE_FALSE(stopped);
    CHECK(stopped.error().code == EINTR);
    CHECK(seen.size() == 1);
}

// ---- fork ----

namespace {

// Runs the checks in a child of fork(); they say what failed by their number.
template<typename Checks> int in_child(Checks checks)
{
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(checks());
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 200 + WTERMSIG(status);
}

std::size_t count(FakeWatchSet& watches, bool reset)
{
    std::array<std::uintptr_t, 64> out;
    const auto found = watches.set.get(region, reset, std::span<std::uintptr_t>(out));
    return found ? *found : 1000 + static_cast<std::size_t>(found.error().code);
}

} // namespace

TEST_CASE("in a child the regions are tracked again before anything else", "[watch-set][fork]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({2});
    watches.fake.survives = GENERATE(false, true);
    CHECK(in_child([&] {
              if (count(watches, true) != 1)
                  return 1;
              if (watches.fake.calls(Step::reopen) != (watches.fake.survives ? 0 : 1))
                  return 2;
              watches.fake.write(base + 3 * page_size);
              if (count(watches, true) != 1 || count(watches, true) != 0)
                  return 3;
              if (watches.fake.calls(Step::reopen) > 1)
                  return 4;
              return 0;
          }) == 0);
    CHECK(watches.fake.calls(Step::reopen) == 0);
    CHECK(watches.get(region) == Numbers{2});
}

TEST_CASE("a child whose handles cannot be opened answers errors until they can",
          "[watch-set][fork]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({2});
    CHECK(in_child([&] {
              watches.fake.fail_call(Step::reopen, 0, EMFILE);
              watches.fake.fail_call(Step::reopen, 1, EMFILE);
              if (count(watches, true) != 1000 + EMFILE)
                  return 1;
              if (watches.set.latch(region))
                  return 2;
              return count(watches, true) == 1 ? 0 : 3;
          }) == 0);
}

// One region that cannot be tracked again (its memory is gone) must not take the others with it.
TEST_CASE("a region that cannot be tracked in a child is dropped there, the others work",
          "[watch-set][fork]")
{
    FakeWatchSet watches;
    const PageRange other = pages(base, 1000, 4);
    watches.watch(region);
    watches.watch(other);
    watches.write({2, 1001});
    CHECK(in_child([&] {
              watches.fake.fail_call(Step::track, 0, ENOMEM); // ascending: that is `region`
              std::array<std::uintptr_t, 4> out;
              const auto found = watches.set.get(other, true, std::span<std::uintptr_t>(out));
              if (!found || *found != 1)
                  return 1;
              return count(watches, true) == 1000 + ENOENT ? 0 : 2;
          }) == 0);
}

// What a reset did is then unknown, and arrays are only as long as the range.
TEST_CASE("an answer that cannot be true fails a get, and is all of the range for a get with reset",
          "[watch-set]")
{
    const PageRange part = pages(base, 4, 8);
    const bool latched = GENERATE(false, true); // which takes another way
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({4});
    if (latched)
        REQUIRE(watches.set.latch(part));
    const std::vector<PageRange> lies = GENERATE(
        std::vector<PageRange>{pages(base, 3)},                                   // before it
        std::vector<PageRange>{pages(base, 12)},                                  // behind it
        std::vector<PageRange>{pages(base, 4, 9)},                                // longer
        std::vector<PageRange>{pages(base, 4, 1 << 20)},                          // far longer
        std::vector<PageRange>{{base + 5 * page_size, base + 5 * page_size}},     // empty
        std::vector<PageRange>{{base + 6 * page_size, base + 5 * page_size}},     // backwards
        std::vector<PageRange>{{base + 5 * page_size + 8, base + 6 * page_size}}, // no page
        std::vector<PageRange>{{base + 5 * page_size, base + 6 * page_size + 8}},
        std::vector<PageRange>{{base + 5 * page_size + 8, base + 7 * page_size}},
        std::vector<PageRange>{pages(base, 7), pages(base, 5)},     // descending
        std::vector<PageRange>{pages(base, 5, 3), pages(base, 6)}); // twice
    CAPTURE(lies.front().start, lies.front().end, lies.size());
    watches.fake.lies = lies;
    CHECK(watches.try_get(part, false).first == EIO);
    std::array<PageRange, 8> runs;
    CHECK_FALSE(watches.set.get(part, false, std::span<PageRange>(runs)));
    if (latched) { // looks first, and has reset nothing then
        CHECK(watches.try_get(part, true).first == EIO);
        watches.fake.lies.clear();
        CHECK(watches.get(part) == Numbers{4});
    } else if (GENERATE(false, true)) {
        CHECK(watches.get_and_reset(part) == Numbers{4, 5, 6, 7, 8, 9, 10, 11});
    } else { // less room: the rest is latched, and so the call looks again, and fails
        CHECK(watches.try_get(part, true, 3).first == EIO);
        watches.fake.lies.clear();
        CHECK(watches.get(part) == Numbers{4, 5, 6, 7, 8, 9, 10, 11});
    }
}
