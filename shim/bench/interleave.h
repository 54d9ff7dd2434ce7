// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Measures variants against each other: one sample of each in random order, again and again, so
// that whatever else the machine does falls on all of them alike. Medians and their ratio are what
// counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace bench {

struct Variant {
    std::string name;
    std::function<double()> sample; // runs once; nanoseconds
    std::vector<double> samples{};

    // What it costs when nothing interrupts: the 10th percentile. The median is the same on a quiet
    // machine; on a busy one, long samples are interrupted more often than not.
    double undisturbed() const { return quantile(10); }
    double quantile(unsigned percent) const;
};

void interleave(std::vector<Variant>& variants, std::size_t repetitions);

// Nanoseconds that `work` takes.
double time_ns(const std::function<void()>& work);

} // namespace bench
