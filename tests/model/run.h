// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs a sequence on the system and on the model, side by side.
#ifndef WRITEWATCH_TESTS_MODEL_RUN_H
#define WRITEWATCH_TESTS_MODEL_RUN_H

#include "tests/model/call.h"

#include <cstdint>
#include <optional>
#include <string>

namespace model {

struct Mismatch {
    std::size_t call = 0; ///< index of the call that went wrong
    std::string message;
};

struct Statistics {
    std::uint64_t calls = 0; ///< performed (calls whose outcome is not specified are left out)
    std::uint64_t pages = 0; ///< returned by GetWriteWatch
};

/// The first difference, or nothing. Nothing is left behind.
std::optional<Mismatch> run(const Sequence& sequence, const std::string& planted,
                            Statistics& statistics);

} // namespace model

#endif
