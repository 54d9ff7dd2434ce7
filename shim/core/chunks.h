// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Records in chunks that double: a number stays where it is while chunks are added.
#pragma once

#include <bit>
#include <cstdint>

namespace writewatch::core {

struct ChunkPlace {
    unsigned chunk;
    std::uint32_t index; // in the chunk
};

// Chunk k holds first_chunk * 2^k records, and so begins at number first_chunk * (2^k - 1).
constexpr ChunkPlace place_of(std::uint32_t number, std::uint32_t first_chunk) noexcept
{
    const auto chunk = static_cast<unsigned>(std::bit_width((number / first_chunk + 1) / 2));
    return {chunk, number - first_chunk * ((std::uint32_t{1} << chunk) - 1)};
}

} // namespace writewatch::core
