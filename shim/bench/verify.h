// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>

#include "shim/bench/peer.h"

namespace bench {

// Compares a peer's answers, page by page, with what was written; nothing, or what was wrong. No
// peer is timed before.
std::optional<std::string> find_mistake(Peer& peer);

} // namespace bench
