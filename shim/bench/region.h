// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <vector>

#include "shim/bench/peer.h"

namespace bench {

// Watched memory of a peer, and an array that one call about all of it needs.
class Region {
  public:
    Region(Peer& peer, std::size_t pages)
        : peer_(peer), pages_(pages), base_(peer.allocate(pages * page_size)), found_(pages)
    {}
    // The same memory, asked about by another peer that tracks in the same way.
    Region(Peer& peer, const Region& memory)
        : peer_(peer), pages_(memory.pages_), base_(memory.base_), found_(memory.pages_),
          owned_(false)
    {}
    ~Region()
    {
        if (owned_)
            peer_.release(base_, bytes());
    }
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;

    Peer& peer() const { return peer_; }
    char* base() const { return base_; }
    std::size_t pages() const { return pages_; }
    std::size_t bytes() const { return pages_ * page_size; }
    void** found() { return found_.data(); }

    // Every page gets memory, and is clean afterwards.
    void populate()
    {
        for (std::size_t page = 0; page < pages_; ++page)
            write_page(base_, page, 1);
        peer_.reset(base_, bytes());
    }

  private:
    Peer& peer_;
    std::size_t pages_;
    char* base_;
    std::vector<void*> found_;
    bool owned_ = true;
};

} // namespace bench
