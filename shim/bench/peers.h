// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The peers' makers, one file each, for peers.cpp alone.
#pragma once

#include "shim/bench/peer.h"

namespace bench {

std::unique_ptr<Peer> make_writewatch();
std::unique_ptr<Peer> make_floor();
std::unique_ptr<Peer> make_eager();
std::unique_ptr<Peer> make_mprotect();
std::unique_ptr<Peer> make_uffd_sync();
std::unique_ptr<Peer> make_soft_dirty();
std::unique_ptr<Peer> make_none();

} // namespace bench
