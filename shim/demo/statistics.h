// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <vector>

namespace demo {

// The smallest value that at least `percent` of the values do not exceed (nearest rank); 0 for
// none.
double percentile(std::vector<double> values, unsigned percent);

} // namespace demo
