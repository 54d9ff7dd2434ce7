// SPDX-License-Identifier: LGPL-2.1-or-later
// Rules about what another process does start this program again in a role ("--role NAME ...").
#ifndef WRITEWATCH_TESTS_CONFORMANCE_ROLES_H
#define WRITEWATCH_TESTS_CONFORMANCE_ROLES_H

#include <optional>

namespace conformance {

/// If the arguments name a role: plays it and returns the exit status.
std::optional<int> play_role(int argc, char** argv);

} // namespace conformance

#endif
