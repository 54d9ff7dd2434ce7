// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Measures variants against each other: one sample of each in random order, again and again, so
// that whatever else the machine does falls on all of them alike. Medians and their ratio are what
// counts.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace bench {

struct Variant {
    std::string name;
    std::function<double()> sample; // runs once; nanoseconds
    std::vector<double> samples{};

    double quantile(double share) const; // 0.5: the median
};

// Until the time is over, but at least `least` samples of each (5 or more, for a spread).
void interleave(std::vector<Variant>& variants, double seconds, std::size_t least);

// Nanoseconds that `work` takes.
double time_ns(const std::function<void()>& work);

} // namespace bench
