// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/core/region_table.h"
#include "tests/support/catch.h"
#include "tests/support/interleave.h"
#include "tests/support/pages.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace writewatch;
using core::RegionTable;
using test::pages;

std::optional<test::Missing> test::missing()
{
    return std::nullopt;
}

namespace {

constexpr std::uintptr_t base = 0x7000'0000'0000;
constexpr auto mode = backend::Mode::on_presence;

struct OpenTable : RegionTable {
    OpenTable() { REQUIRE(open()); }
    ~OpenTable() { close(); }
    OpenTable(const OpenTable&) = delete;
    OpenTable& operator=(const OpenTable&) = delete;

    core::RegionId add(PageRange range, backend::Mode with = mode)
    {
        REQUIRE(reserve(1));
        return insert(range, with);
    }
    void cut(PageRange range)
    {
        REQUIRE(reserve(1));
        remove(range);
    }
    std::vector<PageRange> all() const
    {
        std::vector<PageRange> ranges;
        for (auto region = next(0); region; region = next(region->range.end))
            ranges.push_back(region->range);
        return ranges;
    }
};

using Ranges = std::vector<PageRange>;

// Called in the middle of a change.
struct ForkingObserver : core::Observer {
    std::function<void()> in_change;

    void prepare() noexcept override {}
    core::RecordNumber reserve_record() noexcept override { return 0; }
    void added(core::RecordNumber, std::uint64_t, PageRange, backend::Mode,
               std::uint32_t) noexcept override
    {
        if (in_change)
            in_change();
    }
    void changed(core::RecordNumber, PageRange) noexcept override {}
    void split(core::RecordNumber, core::RecordNumber, std::uint64_t, PageRange) noexcept override
    {}
    void removed(core::RecordNumber) noexcept override {}
    void prepare_latch(PageRange) noexcept override {}
    void begin_latch_change() noexcept override {}
    void end_latch_change() noexcept override {}
    std::uint64_t taken_outside(std::uintptr_t) noexcept override { return 0; }
    void latched(std::uintptr_t, std::uint64_t, bool) noexcept override {}
};

} // namespace

TEST_CASE("an empty table finds nothing", "[region-table]")
{
    const OpenTable table;
    CHECK_FALSE(table.find(base));
    CHECK_FALSE(table.find(0));
    CHECK_FALSE(table.next(0));
    CHECK_FALSE(table.find(~std::uintptr_t{0}));
}

TEST_CASE("find includes the start of a region and excludes its end", "[region-table]")
{
    OpenTable table;
    const auto id = table.add(pages(base, 2, 3), backend::Mode::armed);
    for (const std::uintptr_t inside :
         {base + 2 * page_size, base + 2 * page_size + 1, base + 5 * page_size - 1}) {
        const auto region = table.find(inside);
        REQUIRE(region);
        CHECK(region->range == pages(base, 2, 3));
        CHECK(region->id == id);
        CHECK(region->mode == backend::Mode::armed);
    }
    CHECK_FALSE(table.find(base + 2 * page_size - 1));
    CHECK_FALSE(table.find(base + 5 * page_size));
}

TEST_CASE("next is the first region that ends above the address", "[region-table]")
{
    OpenTable table;
    table.add(pages(base, 10, 2));
    table.add(pages(base, 2, 2));
    table.add(pages(base, 4, 1)); // adjacent to the one before
    CHECK(table.next(0)->range == pages(base, 2, 2));
    CHECK(table.next(base + 3 * page_size)->range == pages(base, 2, 2));
    CHECK(table.next(base + 4 * page_size)->range == pages(base, 4, 1));
    CHECK(table.next(base + 5 * page_size)->range == pages(base, 10, 2));
    CHECK_FALSE(table.next(base + 12 * page_size));
}

TEST_CASE("the ends of the address space are places like any other", "[region-table]")
{
    OpenTable table;
    table.add({0, page_size});
    table.add({address_space_end - page_size, address_space_end});
    CHECK(table.find(0));
    CHECK(table.find(address_space_end - 1));
    CHECK_FALSE(table.find(address_space_end));
    table.cut({0, address_space_end});
    CHECK(table.all().empty());
}

TEST_CASE("remove takes whole regions, trims partial ones and splits one around it",
          "[region-table]")
{
    OpenTable table;
    const auto low = table.add(pages(base, 0, 4), backend::Mode::armed);
    table.add(pages(base, 4, 4));
    const auto high = table.add(pages(base, 8, 4), backend::Mode::armed_huge);

    SECTION("a whole one")
    {
        table.cut(pages(base, 4, 4));
        CHECK(table.all() == Ranges{pages(base, 0, 4), pages(base, 8, 4)});
    }
    SECTION("a range over the end of one, all of the next and the start of the third")
    {
        table.cut(pages(base, 2, 8));
        CHECK(table.all() == Ranges{pages(base, 0, 2), pages(base, 10, 2)});
        CHECK(table.find(base)->id == low);
        CHECK(table.find(base)->mode == backend::Mode::armed);
        CHECK(table.find(base + 10 * page_size)->mode == backend::Mode::armed_huge);
        CHECK(table.find(base + 10 * page_size)->id == high);
    }
    SECTION("the middle of one: the start keeps the id, the rest gets its own")
    {
        table.cut(pages(base, 1, 1));
        CHECK(table.all() ==
              Ranges{pages(base, 0, 1), pages(base, 2, 2), pages(base, 4, 4), pages(base, 8, 4)});
        CHECK(table.find(base)->id == low);
        const auto rest = table.find(base + 2 * page_size);
        CHECK(rest->id > high);
        CHECK(rest->mode == backend::Mode::armed);
    }
    SECTION("nothing where nothing is")
    {
        table.cut(pages(base, 12, 4));
        table.cut({0, base});
        CHECK(table.all().size() == 3);
    }
    SECTION("more than everything")
    {
        table.cut({0, address_space_end});
        CHECK(table.all().empty());
    }
    SECTION("an id is never used again")
    {
        table.cut(pages(base, 8, 4));
        CHECK(table.add(pages(base, 8, 4)) > high);
    }
}

TEST_CASE("the table grows", "[region-table]")
{
    constexpr std::size_t many = 6'000;
    OpenTable table;
    // From both ends inwards, so that insertion moves entries.
    for (std::size_t i = 0; i < many / 2; ++i) {
        table.add(pages(base, 2 * i));
        table.add(pages(base, 2 * (many - 1 - i)));
    }
    std::size_t found = 0;
    for (std::size_t i = 0; i < many; ++i) {
        const auto region = table.find(base + 2 * i * page_size);
        found += region && region->range == pages(base, 2 * i);
        found += !table.find(base + (2 * i + 1) * page_size);
    }
    CHECK(found == 2 * many);
}

// The index over the entries gains and loses levels at 8, 64, 512 and 4,096 of them.
TEST_CASE("every region is found whatever the number of them was before", "[region-table]")
{
    OpenTable table;
    std::map<std::size_t, std::size_t> model; // first page, end
    std::uint32_t random = 7;
    const auto next_random = [&random](std::size_t below) {
        random = random * 1664525 + 1013904223;
        return (random >> 8) % below;
    };
    constexpr std::size_t places = 6'000;
    for (const std::size_t target :
         {9UL, 5UL, 70UL, 0UL, 600UL, 8UL, 64UL, 4200UL, 500UL, 65UL, 4097UL, 1UL}) {
        while (model.size() < target) {
            const std::size_t first = next_random(places) * 4;
            if (model.contains(first))
                continue;
            model[first] = first + 3;
            table.add(pages(base, first, 3));
        }
        while (model.size() > target) {
            // Now and then many at once, else the start, the end or the middle of one.
            const std::size_t first = next_random(places) * 4;
            const std::size_t count = next_random(8) == 0 ? 400 : 1 + next_random(3);
            const std::size_t at = first + next_random(3);
            table.cut(pages(base, at, count));
            const std::size_t end = at + count;
            auto entry = model.upper_bound(at);
            if (entry != model.begin() && std::prev(entry)->second > at)
                --entry;
            while (entry != model.end() && entry->first < end) {
                const auto [old_first, old_end] = *entry;
                entry = model.erase(entry);
                if (old_first < at)
                    model[old_first] = at;
                if (old_end > end)
                    model[end] = old_end;
            }
            if (count == 1)
                continue;
            for (auto left = model.begin(); left != model.end();) { // no splinters
                if (left->second - left->first < 3) {
                    table.cut(pages(base, left->first, left->second - left->first));
                    left = model.erase(left);
                } else {
                    ++left;
                }
            }
        }
        Ranges expected;
        for (const auto& [first, end] : model)
            expected.push_back(pages(base, first, end - first));
        CHECK(table.all() == expected);
        std::size_t wrong = 0;
        for (const PageRange range : expected) {
            wrong += !table.find(range.start) || table.find(range.start)->range != range;
            wrong += !table.find(range.end - 1) || table.find(range.end - 1)->range != range;
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("a fork between changes keeps the table", "[region-table]")
{
    OpenTable table;
    table.add(pages(base, 0));
    CHECK(table.recover_after_fork());
    CHECK(table.find(base));
}

TEST_CASE("a fork in the middle of a change leaves the child an empty table that works",
          "[region-table]")
{
    ForkingObserver observer;
    RegionTable table(&observer);
    REQUIRE(table.open());
    REQUIRE(table.reserve(2));
    table.insert(pages(base, 0), mode);
    observer.in_change = [&] {
        const pid_t child = fork();
        if (child == 0) {
            alarm(10); // a reader that waits for the end of the change
            observer.in_change = nullptr;
            bool good = !table.recover_after_fork() && !table.next(0);
            const auto id = table.insert(pages(base, 7), mode);
            good = good && table.find(base + 7 * page_size)->id == id && !table.find(base);
            _exit(good ? 0 : 1);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(status == 0);
    };
    table.insert(pages(base, 4), mode);
    CHECK(table.find(base));
    CHECK(table.find(base + 4 * page_size));
    table.close();
}

TEST_CASE("a change at any instruction of a reader: it sees the table before it or after it",
          "[region-table][stepping]")
{
    std::size_t wrong = 0;
    std::size_t number = 0;
    for (bool met = true; met; ++number) {
        OpenTable table;
        const auto old_id = table.add(pages(base, 4, 4), backend::Mode::armed);
        core::RegionId new_id = 0;
        std::optional<core::Region> seen;
        met = test::call_with(
            [&] {
                table.cut(pages(base, 0, 16));
                new_id = table.add(pages(base, 5, 9), backend::Mode::armed_huge);
            },
            number, [&] { seen = table.next(base); });
        const bool is_old = seen && seen->range == pages(base, 4, 4) && seen->id == old_id &&
                            seen->mode == backend::Mode::armed;
        const bool is_new = seen && seen->range == pages(base, 5, 9) && seen->id == new_id &&
                            seen->mode == backend::Mode::armed_huge;
        wrong += !is_old && !is_new;
    }
    CHECK(wrong == 0);
    CHECK(number > 20);
}

// Regions come, go, are split and grow around one that stays: a reader sees it always, and never
// one that nobody inserted.
TEST_CASE("a reader beside a writer misses nothing and sees nothing torn", "[region-table]")
{
    OpenTable table;
    constexpr std::size_t places = 64;
    const auto place = [](std::size_t i) { return pages(base, i * 16, 8 + i % 3); };
    const PageRange constant = place(places / 2);
    table.add(constant, backend::Mode::armed);

    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> bad{0};
    std::atomic<std::uint64_t> reads{0};
    std::vector<std::thread> readers;
    readers.reserve(2);
    for (int reader = 0; reader < 2; ++reader) {
        readers.emplace_back([&] {
            while (!stop) {
                const auto stays = table.find(constant.start + page_size);
                bad += !stays || stays->range != constant || stays->mode != backend::Mode::armed;
                std::uintptr_t at = 0;
                for (auto region = table.next(at); region; region = table.next(at)) {
                    // Every region starts where a place or its second half does, and ends so, too.
                    const std::size_t first = (region->range.start - base) / page_size;
                    const std::size_t end = (region->range.end - base) / page_size;
                    const std::size_t i = first / 16;
                    const PageRange whole = place(i);
                    bad += region->range.start < base || i >= places || region->range.empty() ||
                           !whole.contains(region->range) || (first % 16 != 0 && first % 16 != 5) ||
                           (end % 16 != 4 && region->range.end != whole.end) || region->id == 0;
                    at = region->range.end;
                }
                ++reads;
            }
        });
    }
    std::uint32_t random = 1;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(3);
    for (int round = 0; (round < 20'000 && std::chrono::steady_clock::now() < end) || reads < 100;
         ++round) {
        random = random * 1664525 + 1013904223;
        const std::size_t i = (random >> 16) % places;
        if (place(i) == constant)
            continue;
        table.cut(place(i));
        if ((random & 0x100) != 0)
            table.add(place(i));
        if ((random & 0x200) != 0)
            table.cut(pages(place(i).start, 4, 1)); // split
    }
    stop = true;
    for (std::thread& thread : readers)
        thread.join();
    CHECK(bad == 0);
    CHECK(reads >= 100);
}
