// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/bench/interleave.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <random>

namespace bench {

double Variant::quantile(unsigned percent) const
{
    std::vector<double> sorted = samples;
    std::sort(sorted.begin(), sorted.end());
    return sorted.empty() ? 0 : sorted[(sorted.size() - 1) * percent / 100];
}

void interleave(std::vector<Variant>& variants, std::size_t repetitions)
{
    std::mt19937 random(1);
    std::vector<std::size_t> order(variants.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (Variant& variant : variants)
        variant.sample(); // caches and lazily made tables
    for (std::size_t i = 0; i < repetitions; ++i) {
        std::shuffle(order.begin(), order.end(), random);
        for (const std::size_t index : order)
            variants[index].samples.push_back(variants[index].sample());
    }
}

double time_ns(const std::function<void()>& work)
{
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start)
        .count();
}

} // namespace bench
