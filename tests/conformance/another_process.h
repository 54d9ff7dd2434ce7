// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef WRITEWATCH_TESTS_CONFORMANCE_ANOTHER_PROCESS_H
#define WRITEWATCH_TESTS_CONFORMANCE_ANOTHER_PROCESS_H

#include <optional>

namespace conformance {

/// The roles of another_process.cpp.
std::optional<int> play_asking_role(int argc, char** argv);

} // namespace conformance

#endif
