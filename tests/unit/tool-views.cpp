// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What `show` and `top` paint, and how they tell news from what was known.
#include "shim/tool/heat_map.h"
#include "shim/tool/page_map.h"
#include "shim/tool/page_runs.h"
#include "shim/tool/text.h"
#include "shim/tool/write_tracker.h"
#include "tests/support/catch.h"

#include <cmath>
#include <random>
#include <set>

using namespace writewatch;
using namespace writewatch::tool;

std::optional<test::Missing> test::missing()
{
    return std::nullopt;
}

namespace {

constexpr std::uintptr_t base = 0x7000'0000'0000;

PageRange pages(std::size_t first, std::size_t count)
{
    return {base + first * page_size, base + (first + count) * page_size};
}

bool near(double value, double expected)
{
    return std::abs(value - expected) < 1e-6;
}

std::string symbols(const PageMap& map)
{
    std::string text;
    for (std::size_t cell = 0; cell < map.cells().size(); ++cell)
        text += symbol(map, cell);
    return text;
}

} // namespace

TEST_CASE("runs that touch become one", "[page-runs]")
{
    PageRuns runs;
    append(runs, pages(0, 2));
    append(runs, pages(2, 1));
    append(runs, pages(3, 0));
    append(runs, pages(5, 1));
    CHECK(runs == PageRuns{pages(0, 3), pages(5, 1)});
    CHECK(count_pages(runs) == 4);
}

TEST_CASE("the difference of two sets of pages is exact", "[page-runs]")
{
    std::mt19937 random(1);
    for (int round = 0; round < 2000; ++round) {
        std::set<std::size_t> sets[2];
        PageRuns runs[2];
        for (int which = 0; which < 2; ++which) {
            for (std::size_t page = 0; page < 40; ++page) {
                if (random() % 3 == 0) {
                    sets[which].insert(page);
                    append(runs[which], pages(page, 1));
                }
            }
        }
        PageRuns expected;
        for (const std::size_t page : sets[0])
            if (sets[1].count(page) == 0)
                append(expected, pages(page, 1));
        REQUIRE(subtract(runs[0], runs[1]) == expected);
    }
}

TEST_CASE("a page that stays written is news once", "[write-tracker]")
{
    WriteTracker tracker;
    CHECK(tracker.look({pages(0, 4)}, {}).news == PageRuns{pages(0, 4)});
    const auto second = tracker.look({pages(0, 6)}, {});
    CHECK(second.news == PageRuns{pages(4, 2)});
    CHECK_FALSE(second.fresh);
    CHECK(second.written == 6);
}

TEST_CASE("what is written after all was reset is news again", "[write-tracker]")
{
    WriteTracker tracker;
    (void)tracker.look({pages(0, 4)}, {});
    registry::Counters step;
    step.gets_with_reset = 1;
    step.pages = 4;
    const auto look = tracker.look({pages(0, 2)}, step);
    CHECK(look.fresh);
    CHECK(look.news == PageRuns{pages(0, 2)});
}

TEST_CASE("a reset of some pages invents no news", "[write-tracker]")
{
    WriteTracker tracker;
    (void)tracker.look({pages(0, 4)}, {});
    registry::Counters step;
    step.gets_with_reset = 1;
    step.pages = 2; // of the four
    CHECK(tracker.look({pages(2, 3)}, step).news == PageRuns{pages(4, 1)});
    // A get that does not reset changes nothing.
    step = {};
    step.gets = 3;
    step.pages = 9;
    CHECK(tracker.look({pages(2, 3)}, step).news.empty());
}

TEST_CASE("a reset that is seen before it is counted counts once", "[write-tracker]")
{
    WriteTracker tracker;
    (void)tracker.look({pages(0, 100)}, {});
    // The get has reset all of them, and thirty others were written since.
    CHECK(tracker.look({pages(200, 30)}, {}).news == PageRuns{pages(200, 30)});
    registry::Counters step;
    step.gets_with_reset = 1;
    step.pages = 100;
    CHECK(tracker.look({pages(200, 31)}, step).news == PageRuns{pages(230, 1)});
}

TEST_CASE("a map has one cell a page while that fits", "[page-map]")
{
    PageMap map(pages(0, 12), 16);
    map.add(pages(0, 1), page_present | page_written);
    map.add(pages(1, 1), page_present);
    map.add(pages(2, 1), page_swapped);
    map.add(pages(3, 1), page_swapped | page_written);
    map.add(pages(4, 1), page_present | page_zero);
    map.add(pages(5, 1), page_present | page_file);
    map.add(pages(6, 1), page_present | page_elsewhere);
    CHECK(map.pages_per_cell() == 1);
    CHECK(symbols(map) == "#.s#zf&     ");
    CHECK(map.count(page_written) == 2);
    CHECK(map.count(page_present) == 5);
    CHECK(map.count(page_swapped) == 2);
    CHECK(map.populated() == 7);
}

TEST_CASE("a larger map groups pages, and shows tenths of what is written", "[page-map]")
{
    PageMap map(pages(0, 70), 8);
    REQUIRE(map.pages_per_cell() == 16);
    map.add(pages(0, 16), page_present | page_written);
    map.add(pages(16, 8), page_present | page_written);
    map.add(pages(24, 8), page_present);
    map.add(pages(32, 1), page_present | page_written);
    map.add(pages(48, 14), page_present);
    map.add(pages(62, 2), page_swapped);                 // the rarer state says more
    map.add(pages(64, 20), page_present | page_written); // its end lies outside
    CHECK(symbols(map) == "#51s#");
    CHECK(map.cell_pages(4) == 6);
    CHECK(map.count(page_written) == 16 + 8 + 1 + 6);
}

TEST_CASE("the painted map says where, what, and how many", "[page-map]")
{
    PageMap map(pages(0, 4096), 4096);
    map.add(pages(1, 1), page_present | page_written);
    map.add(pages(4095, 1), page_present);
    const std::string plain = render(map, {false, 100}, true);
    CHECK(plain.find("0x700000000000| #") != std::string::npos);
    CHECK(plain.find("never touched)") != std::string::npos); // lines left out
    CHECK(plain.find(".|\n") != std::string::npos);
    CHECK(plain.find("written since the last reset") != std::string::npos);
    CHECK(plain.find("4,096 pages") != std::string::npos);
    CHECK(plain.find('\033') == std::string::npos);
    for (std::size_t begin = 0; begin < plain.size(); begin = plain.find('\n', begin) + 1)
        CHECK(plain.find('\n', begin) - begin <= 100);

    const std::string colored = render(map, {true, 100}, true);
    CHECK(colored.find("\033[48;5;226") != std::string::npos);
    // Every colour is taken back at the end of its line.
    for (std::size_t begin = 0; begin < colored.size();) {
        const std::size_t end = colored.find('\n', begin);
        const std::string line = colored.substr(begin, end - begin);
        const std::size_t last = line.rfind("\033[");
        CHECK((last == std::string::npos || line.compare(last, 4, "\033[0m") == 0));
        begin = end + 1;
    }
    CHECK(render(map, {false, 100}, false).find("not known") != std::string::npos);
}

TEST_CASE("heat is highest when all of a cell was written, and fades by half", "[heat-map]")
{
    HeatMap heat(pages(0, 64), 2.0);
    heat.add({pages(0, 1), pages(8, 8)}, 100);
    const auto now = heat.view(8, 100);
    REQUIRE(now.pages_per_cell == 8);
    REQUIRE(now.heat.size() == 8);
    CHECK(near(now.heat[1], 1));
    CHECK(now.heat[0] > 0.3);
    CHECK(now.heat[0] < 0.5);
    CHECK(now.heat[2] == 0);
    CHECK(near(heat.view(8, 102).heat[1], 0.5));
    CHECK(heat.view(8, 140).heat[1] < 0.001);
    // Written again: hot again. A little does not cool what is hot.
    heat.add({pages(8, 8)}, 102);
    CHECK(near(heat.view(8, 102).heat[1], 1));
    heat.add({pages(8, 1)}, 102);
    CHECK(near(heat.view(8, 102).heat[1], 1));
}

TEST_CASE("a heat map of a huge region stays small", "[heat-map]")
{
    HeatMap heat({base, base + (std::uintptr_t{1} << 40)}, 1.0);
    heat.add({pages(0, 1)}, 1);
    heat.add({{0, page_size}}, 1); // not in the region
    const auto view = heat.view(512, 1);
    CHECK(view.heat.size() == 512);
    CHECK(view.heat[0] > 0.29);
    CHECK(heat.view(0, 1).heat.size() == 1);
}

TEST_CASE("numbers are short and have their units", "[text]")
{
    CHECK(human_size(0) == "0 B");
    CHECK(human_size(4096) == "4 KiB");
    CHECK(human_size(64 << 20) == "64 MiB");
    CHECK(human_size(1536 << 20) == "1.50 GiB");
    CHECK(human_size(1023 << 10) == "1023 KiB");
    CHECK(human_count(0) == "0");
    CHECK(human_count(999) == "999");
    CHECK(human_count(1'234'567) == "1,234,567");
    CHECK(short_count(0) == "0");
    CHECK(short_count(2.34) == "2.3");
    CHECK(short_count(512) == "512");
    CHECK(short_count(16'384) == "16.4k");
    CHECK(short_count(999'999) == "1.00M");
    CHECK(human_time(830) == "830 ns");
    CHECK(human_time(1'250) == "1.25 us");
    CHECK(human_time(23'400'000) == "23.4 ms");
    CHECK(human_time(3e9) == "3 s");
    CHECK(human_time(600e9) == "10 min");
    CHECK(hex_address(base) == "0x700000000000");
}

TEST_CASE("another process's text cannot drive the terminal", "[text]")
{
    CHECK(printable("a\033[2Jb\n\x7f") == "a?[2Jb??");
    CHECK(printable("\xc2\x9b"
                    "31m") == "??31m");
    CHECK(printable("Spiel-\xc3\xa4.exe") == "Spiel-\xc3\xa4.exe");
}

TEST_CASE("columns line up", "[text]")
{
    Table table({{"A", Table::Align::right}, {"NAME"}, {"X", Table::Align::right}});
    table.add({"1", "\xc3\xa4", "10"});
    table.add({"1000", "long"});
    CHECK(table.text(1) == "    A  NAME   X\n"
                           "    1  \xc3\xa4     10\n"
                           " 1000  long\n");
}
