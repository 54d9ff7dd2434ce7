// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>

namespace demo {

// A small generator with a reproducible sequence (Marsaglia's xorshift64*): the same seed gives the
// same writes under Windows, Wine and Linux, which std::uniform_int_distribution does not promise.
class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}

    std::uint64_t next()
    {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545F4914F6CDD1Du;
    }
    // Below `bound`; the bias of the remainder does not matter here.
    std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() >> 11) % bound; }

  private:
    std::uint64_t state_;
};

} // namespace demo
