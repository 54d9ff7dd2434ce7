// SPDX-License-Identifier: LGPL-2.1-or-later
// From a sequence that fails to a short one that fails.
#ifndef WRITEWATCH_TESTS_MODEL_SHRINK_H
#define WRITEWATCH_TESTS_MODEL_SHRINK_H

#include "tests/model/call.h"

#include <functional>

namespace model {

/// \p fails must be true for \p sequence, and is asked about smaller ones.
Sequence shrink(Sequence sequence, const std::function<bool(const Sequence&)>& fails);

} // namespace model

#endif
