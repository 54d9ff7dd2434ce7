// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/core/latch_map.h"
#include "tests/support/catch.h"
#include "tests/support/interleave.h"
#include "tests/support/pages.h"

#include <atomic>
#include <thread>

using namespace writewatch;
using core::LatchMap;
using core::word_mask;
using test::pages;

std::optional<test::Missing> test::missing()
{
    return std::nullopt;
}

namespace {

constexpr std::uintptr_t word_bytes = 64 * page_size;
constexpr std::uintptr_t slice = sys::SliceDirectory::slice_bytes;
constexpr std::uintptr_t base = slice * 0x3000;

struct OpenMap : LatchMap {
    explicit OpenMap(PageRange range)
    {
        REQUIRE(open());
        REQUIRE(reserve(range));
    }
    ~OpenMap() { close(); }
    OpenMap(const OpenMap&) = delete;
    OpenMap& operator=(const OpenMap&) = delete;
};

} // namespace

TEST_CASE("word_mask picks the pages of the range that lie in the word", "[latch-map]")
{
    constexpr auto all = ~std::uint64_t{0};
    CHECK(word_mask(base, {base, base + word_bytes}) == all);
    CHECK(word_mask(base, {base - word_bytes, base + 2 * word_bytes}) == all);
    CHECK(word_mask(base, pages(base, 0)) == 1);
    CHECK(word_mask(base, pages(base, 63)) == std::uint64_t{1} << 63);
    CHECK(word_mask(base, pages(base, 1, 62)) == (all >> 1 & ~std::uint64_t{1}));
    CHECK(word_mask(base, pages(base, 64)) == 0);
    CHECK(word_mask(base, pages(base - word_bytes, 63)) == 0);
    CHECK(word_mask(base, pages(base - 4 * word_bytes, 8)) == 0);
    CHECK(word_mask(base, {base + page_size, base + page_size}) == 0);
    // Any address in the word will do.
    CHECK(word_mask(base + word_bytes - 1, pages(base, 3, 2)) == 0b11000);
    // The last word below 47 bits, and a range to the very end of an integer.
    constexpr std::uintptr_t last = address_space_end - word_bytes;
    CHECK(word_mask(last, {last, address_space_end}) == all);
    CHECK(word_mask(0, {0, page_size}) == 1);
}

TEST_CASE("bits are set, seen, taken and put back", "[latch-map]")
{
    OpenMap map({base, base + slice});
    CHECK_FALSE(map.any({base, base + slice}));
    map.set(pages(base, 60, 8)); // across a word
    CHECK(map.any(pages(base, 60)));
    CHECK(map.any(pages(base, 67)));
    CHECK_FALSE(map.any(pages(base, 59)));
    CHECK_FALSE(map.any(pages(base, 68, 1000)));
    CHECK(map.load(base) == std::uint64_t{0xf} << 60);
    CHECK(map.load(base + word_bytes) == 0xf);

    CHECK(map.take(base + word_bytes, 0b0110) == 0b0110);
    CHECK(map.take(base + word_bytes, 0b0110) == 0);
    CHECK(map.load(base + word_bytes) == 0b1001);
    map.put(base + word_bytes, 0b0010);
    CHECK(map.load(base + word_bytes) == 0b1011);

    map.clear(pages(base, 62, 3));
    CHECK(map.load(base) == std::uint64_t{0x3} << 60);
    CHECK(map.load(base + word_bytes) == 0b1010);
    map.clear({base, base + slice});
    CHECK_FALSE(map.any({base, base + slice}));
}

TEST_CASE("a range over the edge of two slices has bits in both", "[latch-map]")
{
    OpenMap map({base, base + 2 * slice});
    map.set(pages(base + slice, std::size_t(0) - 1, 2));
    CHECK(map.any(pages(base + slice, 0)));
    CHECK(map.any(pages(base + slice - page_size, 0)));
    CHECK_FALSE(map.any(pages(base + slice, 1)));
    // Starting in the middle of the first slice and of a word.
    CHECK(map.any({base + slice / 2 + 3 * page_size, base + slice}));
    map.clear({base + 5 * page_size, base + slice + page_size});
    CHECK_FALSE(map.any({base, base + 2 * slice}));
}

TEST_CASE("the last slice of the address space has bits", "[latch-map]")
{
    const PageRange last{address_space_end - page_size, address_space_end};
    OpenMap map(last);
    map.set(last);
    CHECK(map.any(last));
    CHECK(map.any({0, address_space_end}));
    map.clear({0, address_space_end});
    CHECK_FALSE(map.any({0, address_space_end}));
}

TEST_CASE("without a bitmap there are no bits, and asking for any is safe", "[latch-map]")
{
    OpenMap map({base, base + slice});
    const PageRange elsewhere = pages(base + 8 * slice, 0, 4);
    map.set(elsewhere);
    map.put(elsewhere.start, 1);
    CHECK_FALSE(map.any(elsewhere));
    CHECK(map.load(elsewhere.start) == 0);
    CHECK(map.take(elsewhere.start, 1) == 0);
    map.clear(elsewhere);
}

TEST_CASE("ranges that no slice covers are refused", "[latch-map]")
{
    OpenMap map({base, base + slice});
    CHECK(map.reserve({address_space_end, address_space_end + page_size}).error().code == EINVAL);
    CHECK(map.reserve({base, address_space_end + page_size}).error().code == EINVAL);
    CHECK(map.reserve({base, base}).error().code == EINVAL);
}

// A hook may be told of any address.
TEST_CASE("addresses above 47 bits have no bits", "[latch-map]")
{
    OpenMap map({base, base + slice});
    const PageRange above{address_space_end, address_space_end + 2 * slice};
    CHECK_FALSE(map.any(above));
    map.clear(above);
    CHECK(map.load(above.start) == 0);
    const PageRange top{~std::uintptr_t{0} - slice + 1, page_floor(~std::uintptr_t{0})};
    CHECK_FALSE(map.any(top));
}

TEST_CASE("the generation grows with every bit that appears", "[latch-map]")
{
    OpenMap map({base, base + slice});
    const auto before = map.generation();
    map.set(pages(base, 3));
    const auto after_set = map.generation();
    CHECK(after_set > before);
    (void)map.take(base, ~std::uint64_t{0});
    map.clear({base, base + slice});
    CHECK(map.generation() == after_set);
    map.put(base, 0);
    CHECK(map.generation() == after_set);
    map.put(base, 2);
    CHECK(map.generation() > after_set);
}

// Who sees the generation grow sees the bit.
TEST_CASE("bits are visible before their generation is", "[latch-map]")
{
    OpenMap map({base, base + slice});
    constexpr std::size_t rounds = 20'000;
    std::atomic<std::size_t> missed{0};
    std::thread reader([&] {
        std::uint64_t last = 0;
        for (std::size_t seen = 0; seen < rounds;) {
            const std::uint64_t now = map.generation();
            if (now == last) {
                std::this_thread::yield();
                continue;
            }
            last = now;
            seen = now;
            // The first `now` pages have their bits.
            missed += (map.load(base + (now - 1) / 64 * word_bytes) >> (now - 1) % 64 & 1) == 0;
            missed += !map.any(pages(base, now - 1));
        }
    });
    for (std::size_t i = 0; i < rounds; ++i)
        map.set(pages(base, i));
    reader.join();
    CHECK(missed == 0);
}

TEST_CASE("concurrent takers share the bits out: each is taken once", "[latch-map]")
{
    OpenMap map({base, base + slice});
    constexpr std::size_t words = 512;
    map.set({base, base + words * word_bytes});
    std::atomic<std::size_t> taken{0};
    std::vector<std::thread> takers;
    takers.reserve(3);
    for (int t = 0; t < 3; ++t) {
        takers.emplace_back([&] {
            for (std::size_t i = 0; i < words; ++i)
                taken += static_cast<std::size_t>(
                    __builtin_popcountll(map.take(base + i * word_bytes, ~std::uint64_t{0})));
        });
    }
    for (std::thread& taker : takers)
        taker.join();
    CHECK(taken == words * 64);
}

TEST_CASE("a take at any instruction of a take: each bit goes to one of them",
          "[latch-map][stepping]")
{
    constexpr auto all = ~std::uint64_t{0};
    std::size_t wrong = 0;
    std::size_t number = 0;
    for (bool met = true; met; ++number) {
        OpenMap map({base, base + slice});
        map.set({base, base + word_bytes});
        std::uint64_t one = 0;
        std::uint64_t other = 0;
        met = test::call_with([&] { other = map.take(base, all >> 8); }, number,
                              [&] { one = map.take(base, all); });
        wrong += (one | other) != all || (one & other) != 0 || map.any({base, base + word_bytes});
    }
    CHECK(wrong == 0);
    CHECK(number > 10);
}

TEST_CASE("a bit set at any instruction of a take is taken by it or stays", "[latch-map][stepping]")
{
    std::size_t wrong = 0;
    std::size_t number = 0;
    for (bool met = true; met; ++number) {
        OpenMap map({base, base + slice});
        map.set(pages(base, 1));
        std::uint64_t taken = 0;
        met = test::call_with([&] { map.set(pages(base, 9)); }, number,
                              [&] { taken = map.take(base, ~std::uint64_t{0}); });
        const std::uint64_t left = map.load(base);
        wrong += (taken | left) != (met ? 0b10'0000'0010U : 0b10U) || (taken & left) != 0;
    }
    CHECK(wrong == 0);
    CHECK(number > 10);
}

TEST_CASE("at any instruction of a set: who sees the generation grow sees the bit",
          "[latch-map][stepping]")
{
    std::size_t wrong = 0;
    std::size_t grown = 0;
    std::size_t number = 0;
    for (bool met = true; met; ++number) {
        OpenMap map({base, base + slice});
        const auto before = map.generation();
        met = test::call_with(
            [&] {
                if (map.generation() != before) {
                    ++grown;
                    wrong += !map.any(pages(base, 9));
                }
            },
            number, [&] { map.set(pages(base, 9)); });
    }
    CHECK(wrong == 0);
    CHECK(grown > 0);
}

TEST_CASE("a bitmap made at any instruction of a reserve keeps its bits", "[latch-map][stepping]")
{
    constexpr PageRange range{base, base + slice};
    std::size_t wrong = 0;
    std::size_t number = 0;
    for (bool met = true; met; ++number) {
        OpenMap map({base + 8 * slice, base + 9 * slice});
        met = test::call_with(
            [&] {
                wrong += !map.reserve(range);
                map.set(pages(base, 3));
            },
            number, [&] { wrong += !map.reserve(range); });
        wrong += map.any(range) != met;
    }
    CHECK(wrong == 0);
    CHECK(number > 10);
}
