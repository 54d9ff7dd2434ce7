// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is known to be armed, and which masks a scan asks with because of it.
#include "shim/backend/armed_map.h"
#include "shim/backend/pagemap_scan.h"
#include "tests/support/catch.h"
#include "tests/support/pages.h"

#include <array>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

using namespace writewatch;
using backend::ArmedMap;
using backend::Mode;
using test::pages;

std::optional<test::Missing> test::missing()
{
    return std::nullopt;
}

namespace {

constexpr std::uintptr_t base = 0x7100'0000'0000;
constexpr std::size_t unit = 16;    // pages of 64 KiB
constexpr std::size_t part = 2'048; // pages that are worth a part of their own
const PageRange everything = pages(base, 0, 1 << 20);

struct OpenMap : ArmedMap {
    OpenMap()
    {
        REQUIRE(open());
        REQUIRE(reserve(everything));
    }
    void add_now(PageRange range) { add(range, ticket()); }
    bool armed(PageRange range) const
    {
        const Part first = first_part(range);
        return first.armed && first.end == range.end;
    }
};

// Answers every scan with the same runs and keeps what it was asked.
class Kernel final : public backend::ScanDevice {
  public:
    int scan(abi::PmScanArg& argument) noexcept override
    {
        asked.push_back(argument);
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        auto* const vector = reinterpret_cast<abi::PageRegion*>(argument.vec);
        for (std::size_t i = 0; i < found.size() && i < argument.vec_len; ++i)
            vector[i] = {found[i].start, found[i].end, abi::page_is_written};
        if (while_scanning)
            while_scanning();
        return static_cast<int>(found.size());
    }
    std::vector<PageRange> found;
    std::vector<abi::PmScanArg> asked;
    std::function<void()> while_scanning;
};

} // namespace

TEST_CASE("nothing is armed at first", "[armed-map]")
{
    const OpenMap map;
    const ArmedMap::Part all = map.first_part(everything);
    CHECK_FALSE(all.armed);
    CHECK(all.end == everything.end);
    CHECK_FALSE(map.begins_armed(everything));
}

TEST_CASE("only whole units are added", "[armed-map]")
{
    OpenMap map;
    map.add_now(pages(base, 1, 3 * unit - 2)); // the second unit is whole
    CHECK(map.armed(pages(base, unit, unit)));
    CHECK_FALSE(map.begins_armed(pages(base, 0)));
    CHECK_FALSE(map.begins_armed(pages(base, 2 * unit)));
    map.add_now(pages(base, 5 * unit, unit - 1));
    CHECK_FALSE(map.begins_armed(pages(base, 5 * unit)));
}

TEST_CASE("a removal takes every unit that it touches", "[armed-map]")
{
    OpenMap map;
    map.add_now(pages(base, 0, 8 * unit));
    map.remove(pages(base, 2 * unit - 1, 2));
    CHECK(map.armed(pages(base, 0, unit)));
    CHECK_FALSE(map.begins_armed(pages(base, unit)));
    CHECK_FALSE(map.begins_armed(pages(base, 2 * unit)));
    CHECK(map.armed(pages(base, 3 * unit, 5 * unit)));
    map.remove({0, address_space_end});
    CHECK_FALSE(map.begins_armed(pages(base, 0)));
}

TEST_CASE("what is added after a removal that its scan did not see does not count", "[armed-map]")
{
    OpenMap map;
    const ArmedMap::Ticket ticket = map.ticket();
    map.remove(pages(base, 100 * unit, unit)); // anywhere
    map.add(pages(base, 0, unit), ticket);
    CHECK_FALSE(map.begins_armed(pages(base, 0)));
    map.add(pages(base, 0, unit), map.ticket());
    CHECK(map.begins_armed(pages(base, 0)));
}

TEST_CASE("a range falls into parts; short armed ones are not told apart", "[armed-map]")
{
    OpenMap map;
    map.add_now(pages(base, 4 * part, part));        // long
    map.add_now(pages(base, 8 * part, part - unit)); // too short
    // Across the border of a slice of 2 GiB:
    constexpr std::size_t border = (std::size_t{1} << 31) / page_size;
    map.add_now(pages(base, border - part, 2 * part));

    const auto expect = [&](std::size_t first, std::size_t end, bool armed) {
        const ArmedMap::Part found = map.first_part({base + first * page_size, everything.end});
        CHECK(found.end == base + end * page_size);
        CHECK(found.armed == armed);
    };
    expect(0, 4 * part, false);
    expect(4 * part, 5 * part, true);
    expect(5 * part, border - part, false);
    expect(8 * part, border - part, false);
    expect(border - part, border + part, true);
    expect(border + part, std::size_t{1} << 20, false);
    // Not a whole number of units, and an armed part that is all of the range.
    CHECK(map.armed(pages(base, 8 * part + 3, unit)));
}

TEST_CASE("a range may begin and end inside a unit", "[armed-map]")
{
    OpenMap map;
    map.add_now(pages(base, 2 * unit, unit));
    const std::size_t from = GENERATE(0UL, 3UL, 2 * unit - 1, 2 * unit, 2 * unit + 5);
    const std::size_t to = GENERATE(2 * unit + 7, 3 * unit, 3 * unit + 1, 5 * unit - 1);
    CAPTURE(from, to);
    const ArmedMap::Part found = map.first_part(pages(base, from, to - from));
    CHECK(found.end == base + to * page_size);
    CHECK(found.armed == (from >= 2 * unit && to <= 3 * unit));
}

TEST_CASE("reopened, it knows nothing", "[armed-map]")
{
    OpenMap map;
    map.add_now(pages(base, 0, part));
    REQUIRE(map.reopen());
    CHECK_FALSE(map.begins_armed(pages(base, 0)));
    REQUIRE(map.reserve(everything));
    CHECK_FALSE(map.begins_armed(pages(base, 0)));
}

TEST_CASE("pages that a reset returned are asked about on the fast path", "[armed-map]")
{
    OpenMap map;
    Kernel kernel;
    backend::PageScanner scanner(kernel, backend::ScanQuery(true, false), &map);
    std::array<backend::Run, 512> runs;
    const PageRange range = pages(base, 0, 4 * part);
    const auto scan = [&](bool reset) {
        kernel.asked.clear();
        const auto result = scanner.scan({range, Mode::on_presence, reset, 0}, runs);
        REQUIRE(result);
        return result->resume;
    };
    const auto on_fast_path = [&] {
        return kernel.asked.at(0).category_mask == abi::page_is_written &&
               kernel.asked[0].category_anyof_mask == 0;
    };

    kernel.found = {pages(base, 0, 2 * part)};
    CHECK(scan(false) == range.end);
    CHECK_FALSE(on_fast_path());
    scan(true);
    CHECK_FALSE(on_fast_path()); // it is this one's answer that counts
    CHECK(scan(false) == range.start + 2 * part * page_size);
    CHECK(on_fast_path());
    CHECK(kernel.asked[0].end == range.start + 2 * part * page_size);
    CHECK(scanner.skip_clean(range, Mode::on_presence).value() == range.start);

    SECTION("until they are dropped")
    {
        map.remove(pages(base, 0));
        CHECK(scan(false) == base + unit * page_size);
        CHECK_FALSE(on_fast_path());
    }
    SECTION("but not if some are dropped while it runs")
    {
        map.remove(range);
        kernel.while_scanning = [&] { map.remove(pages(base, 7)); };
        scan(true);
        kernel.while_scanning = nullptr;
        CHECK(scan(false) == range.end);
        CHECK_FALSE(on_fast_path());
    }
}

// Whatever the order of their steps: once both are over, no bit is left of a scan that began before
// the removal.
TEST_CASE("a removal beside an addition wins", "[armed-map]")
{
    OpenMap map;
    constexpr int rounds = 500;
    std::atomic<int> drawn{0};
    std::atomic<int> removed{0};
    std::atomic<int> wrong{0};
    std::thread adder([&] {
        for (int round = 1; round <= rounds; ++round) {
            const ArmedMap::Ticket ticket = map.ticket();
            drawn = round;
            map.add(pages(base, 0, unit), ticket);
            while (removed < round)
                std::this_thread::yield();
            wrong += map.begins_armed(pages(base, 0)) ? 1 : 0;
        }
    });
    for (int round = 1; round <= rounds; ++round) {
        while (drawn < round)
            std::this_thread::yield();
        map.remove(pages(base, 0));
        removed = round;
    }
    adder.join();
    CHECK(wrong == 0);
}
