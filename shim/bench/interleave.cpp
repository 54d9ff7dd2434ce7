// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/bench/interleave.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <random>

namespace bench {

double Variant::quantile(double share) const
{
    std::vector<double> sorted = samples;
    std::sort(sorted.begin(), sorted.end());
    if (sorted.empty())
        return 0;
    return sorted[static_cast<std::size_t>(static_cast<double>(sorted.size() - 1) * share)];
}

void interleave(std::vector<Variant>& variants, double seconds, std::size_t least)
{
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(seconds));
    std::mt19937 random(1);
    std::vector<std::size_t> order(variants.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (Variant& variant : variants)
        variant.sample(); // caches and lazily made tables
    for (std::size_t i = 0; i < least || Clock::now() < end; ++i) {
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
