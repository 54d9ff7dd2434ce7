// SPDX-License-Identifier: LGPL-2.1-or-later
// Random sequences. The same seed gives the same sequence on every platform.
#ifndef WRITEWATCH_TESTS_MODEL_GENERATE_H
#define WRITEWATCH_TESTS_MODEL_GENERATE_H

#include "tests/model/call.h"

#include <cstdint>
#include <set>

namespace model {

struct Avoid {
    std::set<Kind> kinds;
    bool mistakes = false; ///< arguments that must be refused
};

Sequence generate(std::uint64_t seed, std::size_t steps, const Avoid& avoid);

} // namespace model

#endif
