// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/bench/dirt.h"

#include <algorithm>

#include "shim/bench/peer.h"

namespace bench {

std::string_view to_string(Shape shape)
{
    return shape == Shape::scattered ? "scattered" : "clustered";
}

Dirt::Dirt(std::size_t pages, unsigned permille, Shape shape) : count_(0)
{
    if (permille == 0)
        return;
    const std::size_t stride = 1000 / permille;
    count_ = (pages + stride - 1) / stride;
    if (shape == Shape::scattered) {
        distance_ = stride;
        return;
    }
    constexpr std::size_t longest = 256;
    run_ = std::min(count_, longest);
    distance_ = std::max(run_, pages / ((count_ + run_ - 1) / run_));
}

void Dirt::write(char* base, char value) const
{
    for (std::size_t i = 0; i < count_; ++i)
        write_page(base, nth(i), value);
}

bool Dirt::matches(const char* base, void* const* addresses, std::size_t count) const
{
    if (count != count_)
        return false;
    for (std::size_t i = 0; i < count; ++i)
        if (addresses[i] != base + nth(i) * page_size)
            return false;
    return true;
}

} // namespace bench
