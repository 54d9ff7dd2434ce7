// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The few patterns of `writewatch bench`: what a user's program is likely to do, each in a second
// or so. The benches proper have more (tests/bench/suite).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "shim/bench/peer.h"

namespace bench {

struct Pattern {
    std::string name;  // in JSON
    std::string title; // in the table
    // One sample of the pattern with this peer: nanoseconds for one operation. Prepares what the
    // samples need. A wrong answer throws WrongAnswer.
    std::function<std::function<double()>(Peer&)> prepare;
};

class WrongAnswer : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

std::vector<Pattern> patterns();

} // namespace bench
