// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/demo/statistics.h"

#include <algorithm>
#include <cstddef>

namespace demo {

double percentile(std::vector<double> values, unsigned percent)
{
    if (values.empty())
        return 0;
    const std::size_t rank = (values.size() * percent + 99) / 100;
    const std::size_t index = rank == 0 ? 0 : rank - 1;
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(index);
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

} // namespace demo
