// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A kernel that has PAGEMAP_SCAN and answers nonsense: at the start the library says so; later a
// call fails or reports too much, and no write is lost.
#include "tests/integration/limits/lying-kernel.h"
#include "tests/support/tracker.h"

#include <algorithm>

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
    return missing_backend();
}

namespace {

constexpr const char* impossible[] = {"too-many",  "outside",   "far-too-long",
                                      "backwards", "unordered", "no-pages"};

// Every second page of m but none in [first, first + count).
bool contains_all(const Numbers& found, const Numbers& written)
{
    return std::includes(found.begin(), found.end(), written.begin(), written.end());
}

struct Written {
    Tracker tracker;
    Mapping m{4096};
    Numbers pages;

    Written()
    {
        REQUIRE(tracker.watch(m) == 0);
        for (std::size_t number = 1; number < m.pages(); number += 3) {
            m.write(number);
            pages.push_back(number);
        }
    }
    ~Written() { lie(nullptr); }
};

} // namespace

TEST_CASE("an answer that cannot be true fails a get; nothing is lost", "[limits][lies]")
{
    const char* const name = GENERATE(from_range(std::begin(impossible), std::end(impossible)));
    CAPTURE(name);
    const Written w;
    lie(name);
    CHECK(w.tracker.get(w.m) == Numbers{~std::size_t{0}, EIO});
    CHECK(w.tracker.get(w.m) == Numbers{~std::size_t{0}, EIO});
    lie(nullptr);
    CHECK(w.tracker.get_and_reset(w.m) == w.pages);
}

TEST_CASE("an answer that cannot be true to a get with reset: too much, never too little",
          "[limits][lies]")
{
    const char* const name = GENERATE(from_range(std::begin(impossible), std::end(impossible)));
    CAPTURE(name);
    const Written w;
    lie(name);
    Numbers found = w.tracker.get_and_reset(w.m);
    CHECK(std::is_sorted(found.begin(), found.end()));
    CHECK(contains_all(found, w.pages));
    CHECK((found.empty() || found.back() < w.m.pages()));
    w.m.write({7, 8, 4095});
    lie(nullptr);
    CHECK(contains_all(w.tracker.get_and_reset(w.m), {7, 8, 4095}));
    w.m.write(9); // exact again
    CHECK(w.tracker.get_and_reset(w.m) == Numbers{9});
}

TEST_CASE("an answer that cannot be true, with less room than pages: the rest comes later",
          "[limits][lies]")
{
    const char* const name = GENERATE(from_range(std::begin(impossible), std::end(impossible)));
    CAPTURE(name);
    const Written w;
    Numbers all;
    // No more than the caller's room is ever written, whatever the kernel says.
    for (int round = 0; round < 100; ++round) {
        lie(round < 3 ? name : nullptr);
        const Numbers some = w.tracker.collect(w.m, WW_RESET, 0, w.m.pages(), 100);
        REQUIRE(some.size() <= 100);
        if (some.size() == 2 && some[0] == ~std::size_t{0})
            continue; // an error
        all.insert(all.end(), some.begin(), some.end());
    }
    lie(nullptr);
    const Numbers rest = w.tracker.get_and_reset(w.m);
    all.insert(all.end(), rest.begin(), rest.end());
    std::sort(all.begin(), all.end());
    CHECK(contains_all(all, w.pages));
}

TEST_CASE("a walk_end that cannot be true changes nothing", "[limits][lies]")
{
    const char* const name = GENERATE("walk-end-beyond", "walk-end-before");
    CAPTURE(name);
    const Written w;
    lie(name);
    CHECK(w.tracker.get(w.m) == w.pages);
    CHECK(w.tracker.get_and_reset(w.m) == w.pages);
    CHECK(w.tracker.get(w.m).empty());
}

TEST_CASE("a registration that is refused later fails the watch, and nothing else",
          "[limits][lies]")
{
    const Written w;
    lie("register-refused");
    const Mapping other(4);
    CHECK(w.tracker.watch(other) == -EINVAL);
    CHECK(w.tracker.get_and_reset(w.m) == w.pages);
    lie(nullptr);
    CHECK(w.tracker.watch(other) == 0);
    other.write(2);
    CHECK(w.tracker.get(other) == Numbers{2});
}
