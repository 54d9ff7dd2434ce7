// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which pages of a region are written before it is asked about.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace bench {

enum class Shape {
    scattered, // every n-th page
    clustered, // as many pages, in runs of up to 256 (1 MiB) at equal distances
};

std::string_view to_string(Shape shape);

class Dirt {
  public:
    // `permille` of the pages, at least one unless it is 0. Scattered: every (1000 / permille)-th.
    Dirt(std::size_t pages, unsigned permille, Shape shape);

    std::size_t count() const { return count_; }
    // The page that is the i-th to be written, ascending.
    std::size_t nth(std::size_t i) const { return i / run_ * distance_ + i % run_; }
    // Runs of adjacent pages.
    std::size_t runs() const
    {
        return distance_ > run_ ? (count_ + run_ - 1) / run_ : std::min<std::size_t>(count_, 1);
    }
    // Writes one byte into each of them.
    void write(char* base, char value) const;
    // Whether these are exactly the addresses, in their order.
    bool matches(const char* base, void* const* addresses, std::size_t count) const;

  private:
    std::size_t count_;
    std::size_t run_ = 1;
    std::size_t distance_ = 1; // from the start of a run to that of the next
};

} // namespace bench
