// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What another thread does at each step of a call, put there exactly by the fake's callback: the
// calls hold nothing while they run, so that it makes no difference which thread it is.
#include "tests/support/fake_watch_set.h"

#include <cerrno>

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

bool contains(const Numbers& numbers, std::size_t number)
{
    return std::count(numbers.begin(), numbers.end(), number) != 0;
}

struct Point {
    Step step;
    Moment moment;
    int skip;
};

std::string name(Point point)
{
    return (point.step == Step::scan ? "scan " : "skip_clean ") + std::to_string(point.skip) +
           (point.moment == Moment::before ? " before" : " after");
}

// Every step of a get of several scans. In the usual path these are one look and three scans; when
// pages are latched already, scans only.
const std::vector<Point> points_of_get = {
    {Step::skip_clean, Moment::before, 0}, {Step::skip_clean, Moment::after, 0},
    {Step::scan, Moment::before, 0},       {Step::scan, Moment::after, 0},
    {Step::scan, Moment::before, 1},       {Step::scan, Moment::after, 1},
    {Step::scan, Moment::before, 2},       {Step::scan, Moment::after, 2},
};

} // namespace

// The heart of the latch: a page that is latched and then loses its contents must be found in one
// of the two places by a get that runs meanwhile.
TEST_CASE("a page latched and dropped during a get is reported by it or by the next",
          "[watch-set][interleaving]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.fake.runs_per_step = 1;
    const Point point = GENERATE(from_range(points_of_get));
    const bool reset = GENERATE(false, true);
    const bool merging = GENERATE(false, true);
    const std::size_t capacity = GENERATE(64u, 2u, 1u);
    const std::size_t page = GENERATE(1u, 3u, 5u);
    CAPTURE(name(point), reset, merging, capacity, page);

    watches.write({1, 3, 5});
    if (merging) {
        watches.write({9});
        REQUIRE(watches.set.latch(pages(base, 9)));
    }
    bool reached = false;
    watches.at(
        point.step, point.moment,
        [&] {
            reached = true;
            REQUIRE(watches.set.latch(pages(base, page)));
            watches.fake.drop(pages(base, page));
        },
        point.skip);
    const auto [error, got] = watches.try_get(region, reset, capacity);
    watches.fake.on_step = nullptr;
    REQUIRE(error == 0);
    CHECK(std::is_sorted(got.begin(), got.end()));
    CHECK(std::adjacent_find(got.begin(), got.end()) == got.end());
    const Numbers later = watches.get(region);
    for (const std::size_t written : Numbers{1, 3, 5}) {
        CAPTURE(written, reached);
        CHECK((contains(got, written) || contains(later, written)));
        // Without room left over, everything is in the answer.
        if (capacity == 64)
            CHECK(contains(got, written));
        if (!reset)
            CHECK(contains(later, written));
    }
    if (merging)
        CHECK((contains(got, 9) || contains(later, 9)));
}

// A caller that gets fewer pages than its array holds takes them for all there are.
TEST_CASE("a get that another caller takes pages from looks on while there is room",
          "[watch-set][interleaving]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.write({1, 3, 5, 60});
    REQUIRE(watches.set.latch(pages(base, 1, 4)));
    Numbers others;
    // Between the first look at what fits (1 and 3) and the reset of just that.
    watches.at(Step::scan, Moment::after,
               [&] { others = watches.get_and_reset(pages(base, 1, 3)); });
    CHECK(watches.get_and_reset(region, 2) == Numbers{5, 60});
    CHECK(others == Numbers{1, 3});
    CHECK(watches.get(region).empty());
}

// Over latched pages a get looks first and resets then: what was written in between can push pages
// out of the result that the reset has consumed.
TEST_CASE("a page pushed out of a get by one written meanwhile stays reported",
          "[watch-set][interleaving]")
{
    FakeWatchSet watches;
    const PageRange range = pages(base, 0, 64);
    watches.watch(range);
    watches.write({10});
    REQUIRE(watches.set.latch(range));
    watches.write({20, 30});
    watches.at(
        Step::scan, Moment::before, [&] { watches.write({5}); }, 1);
    CHECK(watches.get_and_reset(range, 2) == Numbers{5, 10});
    CHECK(watches.get_and_reset(range) == Numbers{20, 30});
    CHECK(watches.get(range).empty());
}

TEST_CASE("a page written during a get is reported by it or by the next",
          "[watch-set][interleaving]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.fake.runs_per_step = 1;
    const Point point = GENERATE(from_range(points_of_get));
    const bool merging = GENERATE(false, true);
    const std::size_t page = GENERATE(0u, 3u, 4u, 63u);
    CAPTURE(name(point), merging, page);

    watches.write({1, 3, 5});
    if (merging)
        REQUIRE(watches.set.latch(pages(base, 3)));
    watches.at(
        point.step, point.moment, [&] { watches.write({page}); }, point.skip);
    const Numbers got = watches.get_and_reset(region);
    const bool reached = watches.fake.on_step == nullptr;
    watches.fake.on_step = nullptr;
    const Numbers later = watches.get_and_reset(region);
    for (const std::size_t written : Numbers{1, 3, 5})
        CHECK(contains(got, written));
    if (reached)
        CHECK((contains(got, page) || contains(later, page)));
    CHECK(watches.get(region).empty());
}

TEST_CASE("two RESET callers share the pages out: none is lost, none returned twice",
          "[watch-set][interleaving]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.fake.runs_per_step = 1;
    const Point point = GENERATE(from_range(points_of_get));
    const bool merging = GENERATE(false, true);
    const std::size_t capacity = GENERATE(64u, 2u);
    CAPTURE(name(point), merging, capacity);

    const Numbers written{1, 3, 5, 7};
    watches.write({1, 3, 5, 7});
    if (merging)
        REQUIRE(watches.set.latch(pages(base, 3, 3)));
    Numbers other;
    watches.at(
        point.step, point.moment, [&] { other = watches.get_and_reset(region, capacity); },
        point.skip);
    Numbers all = watches.get_and_reset(region, capacity);
    watches.fake.on_step = nullptr;
    all.insert(all.end(), other.begin(), other.end());
    const Numbers later = watches.get_and_reset(region);
    all.insert(all.end(), later.begin(), later.end());
    std::sort(all.begin(), all.end());
    CHECK(all == written);
}

TEST_CASE("a latch during another latch, a reset or a get loses nothing that is not reset",
          "[watch-set][interleaving]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.fake.runs_per_step = 1;
    watches.write({1, 3});

    SECTION("latch in a latch")
    {
        watches.at(Step::scan, Moment::after, [&] {
            REQUIRE(watches.set.latch(region));
            watches.fake.drop(region);
        });
        REQUIRE(watches.set.latch(region));
        CHECK(watches.get(region) == Numbers{1, 3});
    }
    SECTION("latch of a page that a reset of another range runs over")
    {
        watches.at(Step::reset, Moment::before, [&] {
            REQUIRE(watches.set.latch(pages(base, 3)));
            watches.fake.drop(pages(base, 3));
        });
        REQUIRE(watches.set.reset(pages(base, 0, 3)));
        CHECK(watches.get(region) == Numbers{3});
    }
    SECTION("a reset that fails, with a latch in it")
    {
        watches.fake.fail_call(Step::reset, 0, ENOMEM);
        watches.at(Step::reset, Moment::after, [&] {
            REQUIRE(watches.set.latch(pages(base, 3)));
            watches.fake.drop(pages(base, 3));
        });
        CHECK_FALSE(watches.set.reset(region));
        const Numbers found = watches.get(region);
        CHECK(contains(found, 1));
        CHECK(contains(found, 3));
    }
}

TEST_CASE("memory replaced during a get: tracked and clean after it, latched pages kept",
          "[watch-set][interleaving]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.fake.runs_per_step = 1;
    const Point point = GENERATE(from_range(points_of_get));
    CAPTURE(name(point));
    watches.write({1, 3, 5});
    watches.at(
        point.step, point.moment,
        [&] {
            REQUIRE(watches.set.latch(pages(base, 3)));
            watches.fake.lose(pages(base, 2, 4));
            REQUIRE(watches.set.memory_replaced(pages(base, 2, 4), 3));
            watches.write({4});
        },
        point.skip);
    const auto [error, got] = watches.try_get(region, true);
    const bool reached = watches.fake.on_step == nullptr;
    watches.fake.on_step = nullptr;
    REQUIRE(error == 0);
    const Numbers later = watches.get(region);
    CHECK((contains(got, 1) || contains(later, 1)));
    CHECK((contains(got, 3) || contains(later, 3)));
    if (reached)
        CHECK((contains(got, 4) || contains(later, 4)));
}

TEST_CASE("a region forgotten and watched again during a get: writes to the new one are reported",
          "[watch-set][interleaving]")
{
    FakeWatchSet watches;
    watches.watch(region);
    watches.fake.runs_per_step = 1;
    const Point point = GENERATE(from_range(points_of_get));
    CAPTURE(name(point));
    watches.write({1, 3, 5});
    watches.at(
        point.step, point.moment,
        [&] {
            REQUIRE(watches.set.forget(region));
            watches.watch(region);
            watches.write({3, 7});
        },
        point.skip);
    const auto [error, got] = watches.try_get(region, true);
    const bool reached = watches.fake.on_step == nullptr;
    watches.fake.on_step = nullptr;
    REQUIRE(error == 0); // on Windows, too, a get before or after the change succeeds
    if (!reached)
        return;
    const Numbers later = watches.get(region);
    CHECK((contains(got, 3) || contains(later, 3)));
    CHECK((contains(got, 7) || contains(later, 7)));
}

// The check for an overlap and the entry into the table are one step, or the second tracking would
// make the first one's pages clean.
TEST_CASE("two threads watch one range: one of them gets EEXIST, and no write is lost",
          "[watch-set][interleaving]")
{
    FakeWatchSet watches;
    const Moment moment = GENERATE(Moment::before, Moment::after);
    const std::size_t first = GENERATE(0u, 8u);
    Result<void> inner;
    watches.at(Step::track, moment, [&] {
        inner =
            watches.try_watch(pages(base, first, 16), OnOverlap::fail, backend::Contents::clean);
        watches.write({10});
    });
    const Result<void> outer =
        watches.try_watch(pages(base, 0, 16), OnOverlap::fail, backend::Contents::clean);
    CHECK((outer.has_value() != inner.has_value()));
    CHECK((outer ? inner : outer).error().code == EEXIST);
    const auto watched = watches.set.find(base + 10 * page_size);
    REQUIRE(watched);
    if (inner)
        CHECK(watches.get(watched->range) == Numbers{10});
}

// The addresses of a released region were given out again before its host could say so.
TEST_CASE("a late forget by region does not hurt a watch that is under way",
          "[watch-set][interleaving]")
{
    FakeWatchSet watches;
    watches.watch(region);
    const auto old = watches.set.find(base);
    const Moment moment = GENERATE(Moment::before, Moment::after);
    watches.at(Step::track, moment, [&] { watches.set.forget(*old, old->range); });
    REQUIRE(watches.try_watch(region, OnOverlap::replace));
    REQUIRE(watches.set.find(base));
    CHECK(watches.fake.is_tracked(base));
    watches.write({5});
    CHECK(watches.get(region) == Numbers{5});
}
