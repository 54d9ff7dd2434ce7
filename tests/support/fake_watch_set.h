// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A watch set over the fake backend, and results as page numbers.
#pragma once

#include "shim/backend/fake.h"
#include "shim/core/watch_set.h"
#include "tests/support/catch.h"
#include "tests/support/pages.h"

#include <array>
#include <initializer_list>
#include <utility>
#include <vector>

namespace writewatch::test {

using Numbers = std::vector<std::size_t>;

// Somewhere, with a slice's edge (2 GiB) not near.
inline constexpr std::uintptr_t base = 0x7100'0000'0000;

struct FakeWatchSet {
    backend::Fake fake;
    core::WatchSet set{fake};

    FakeWatchSet() { REQUIRE(set.open()); }
    ~FakeWatchSet() { set.close(); }
    FakeWatchSet(const FakeWatchSet&) = delete;
    FakeWatchSet& operator=(const FakeWatchSet&) = delete;

    Result<void> try_watch(PageRange range, core::OnOverlap on_overlap = core::OnOverlap::fail,
                           backend::Contents contents = backend::Contents::empty)
    {
        return set.watch({.range = range,
                          .mode = backend::Mode::on_presence,
                          .contents = contents,
                          .protection = 3},
                         on_overlap);
    }
    void watch(PageRange range) { REQUIRE(try_watch(range)); }

    void write(std::initializer_list<std::size_t> numbers)
    {
        for (const std::size_t number : numbers)
            fake.write(base + number * page_size);
    }

    // The numbers of the pages that a get answers; empty result and an errno value on failure.
    std::pair<int, Numbers> try_get(PageRange range, bool reset, std::size_t capacity = 10'000)
    {
        std::vector<std::uintptr_t> out(capacity, 0xdead);
        const auto found = set.get(range, reset, std::span(out));
        if (!found)
            return {found.error().code, {}};
        REQUIRE(*found <= capacity);
        // Entries beyond the count are untouched.
        REQUIRE(std::all_of(out.begin() + static_cast<std::ptrdiff_t>(*found), out.end(),
                            [](std::uintptr_t entry) { return entry == 0xdead; }));
        Numbers numbers;
        for (std::size_t i = 0; i < *found; ++i)
            numbers.push_back((out[i] - base) / page_size);
        return {0, numbers};
    }
    Numbers get(PageRange range, std::size_t capacity = 10'000)
    {
        const auto [error, numbers] = try_get(range, false, capacity);
        REQUIRE(error == 0);
        return numbers;
    }
    Numbers get_and_reset(PageRange range, std::size_t capacity = 10'000)
    {
        const auto [error, numbers] = try_get(range, true, capacity);
        REQUIRE(error == 0);
        return numbers;
    }
    std::vector<PageRange> runs(PageRange range, bool reset, std::size_t capacity = 1000)
    {
        std::vector<PageRange> out(capacity);
        const auto found = set.get(range, reset, std::span(out));
        REQUIRE(found);
        out.resize(*found);
        return out;
    }

    // Once, when the step is next reached (the `skip`th time from now).
    template<typename Action>
    void at(backend::Fake::Step step, backend::Fake::Moment moment, Action action, int skip = 0)
    {
        fake.on_step = [this, step, moment, action, left = skip](backend::Fake::Step s,
                                                                 backend::Fake::Moment m) mutable {
            if (s != step || m != moment || left-- > 0)
                return;
            auto keep = std::move(fake.on_step); // the action may reach steps itself
            fake.on_step = nullptr;
            action();
        };
    }
};

} // namespace writewatch::test
