// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/heat_map.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace writewatch::tool {

namespace {

// More than any terminal has cells.
constexpr std::size_t max_spots = 1 << 15;

// A single page of many must show beside a cell that was written whole.
constexpr double least_heat = 0.3;

constexpr std::size_t divide_up(std::size_t number, std::size_t by)
{
    return (number + by - 1) / by;
}

} // namespace

HeatMap::HeatMap(PageRange range, double half_life) : range_(range), half_life_(half_life)
{
    while (divide_up(range.pages(), pages_per_spot_) > max_spots)
        pages_per_spot_ *= 2;
    spots_.resize(divide_up(range.pages(), pages_per_spot_));
    fresh_.resize(spots_.size());
}

double HeatMap::age_factor(const Spot& spot, double now) const
{
    return spot.share == 0 ? 0 : std::exp2((spot.at - now) / half_life_);
}

void HeatMap::add(const PageRuns& written, double now)
{
    std::vector<std::size_t> touched;
    for (const PageRange& run : written) {
        const PageRange part = run.intersect(range_);
        if (part.empty())
            continue;
        std::size_t page = PageRange{range_.start, part.start}.pages();
        const std::size_t end = page + part.pages();
        while (page < end) {
            const std::size_t spot = page / pages_per_spot_;
            const std::size_t next = std::min(end, (spot + 1) * pages_per_spot_);
            if (fresh_[spot] == 0)
                touched.push_back(spot);
            fresh_[spot] += next - page;
            page = next;
        }
    }
    for (const std::size_t spot : touched) {
        const double share = static_cast<double>(std::exchange(fresh_[spot], 0)) /
                             static_cast<double>(pages_per_spot_);
        Spot& old = spots_[spot];
        old = {std::max(share, old.share * age_factor(old, now)), now};
    }
}

HeatMap::View HeatMap::view(std::size_t max_cells, double now) const
{
    View view;
    std::size_t spots_per_cell = 1;
    while (divide_up(spots_.size(), spots_per_cell) > std::max<std::size_t>(max_cells, 1))
        spots_per_cell *= 2;
    view.pages_per_cell = pages_per_spot_ * spots_per_cell;
    view.heat.resize(divide_up(spots_.size(), spots_per_cell));
    for (std::size_t cell = 0; cell < view.heat.size(); ++cell) {
        const std::size_t first = cell * spots_per_cell;
        const std::size_t end = std::min(first + spots_per_cell, spots_.size());
        double latest = 0;
        double shares = 0;
        for (std::size_t spot = first; spot < end; ++spot) {
            const double factor = age_factor(spots_[spot], now);
            latest = std::max(latest, factor);
            shares += spots_[spot].share * factor;
        }
        view.heat[cell] =
            least_heat * latest + (1 - least_heat) * shares / static_cast<double>(end - first);
    }
    return view;
}

} // namespace writewatch::tool
