// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a program that keeps its own books expects of a collection.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace writewatch::faults {

struct Problem {
    std::string what;
};

inline void require(bool holds, const std::string& what)
{
    if (!holds)
        throw Problem{what};
}

struct Range { // of pages
    std::size_t first = 0;
    std::size_t end = 0;
};

struct Page {
    bool written = false;
    bool latched = false;
    bool committed = true;

    bool reported() const { return latched || (committed && written); }
};

class Expected {
  public:
    explicit Expected(std::size_t count) : pages_(count) {}

    Page& operator[](std::size_t page) { return pages_[page]; }

    template<typename Action> void for_each(Range r, Action action)
    {
        for (std::size_t i = r.first; i < r.end; ++i)
            action(pages_[i]);
    }

    // Everything written is in `found`, as far as `capacity` reaches; nothing else is, unless
    // `tolerant`. What is there is clean afterwards when it was a reset.
    void check(const std::vector<std::size_t>& found, Range r, bool resets, std::size_t capacity,
               bool tolerant)
    {
        std::size_t next = r.first;
        const auto none_before = [&](std::size_t end) {
            for (; next < end; ++next)
                require(!pages_[next].reported(), "page " + std::to_string(next) + " is lost");
        };
        for (const std::size_t page : found) {
            require(page >= next && page < r.end, "out of order or out of the range");
            none_before(page);
            require(tolerant || pages_[page].reported(),
                    "page " + std::to_string(page) + " was not written");
            if (resets)
                pages_[page].written = pages_[page].latched = false;
            next = page + 1;
        }
        if (found.size() < capacity)
            none_before(r.end);
    }

  private:
    std::vector<Page> pages_;
};

} // namespace writewatch::faults
