// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <utility>

#include "shim/bench/peer.h"

namespace bench {

// A peer whose answers are wrong in one way, to show that it is noticed.
class FaultyPeer : public Peer {
  public:
    enum class Fault {
        loses_a_page,     // never reports the last one it found
        invents_a_page,   // reports one more
        repeats_a_page,   // right number, wrong page
        forgets_to_reset, // a reset changes nothing
        resets_too_much,  // what does not fit into the array is reset as well
    };

    FaultyPeer(std::unique_ptr<Peer> peer, Fault fault) : peer_(std::move(peer)), fault_(fault) {}

    std::string_view name() const override { return peer_->name(); }
    char* allocate(std::size_t bytes) override { return peer_->allocate(bytes); }
    char* reserve(std::size_t bytes) override { return peer_->reserve(bytes); }
    void commit(char* base, std::size_t bytes) override { peer_->commit(base, bytes); }
    void release(char* base, std::size_t bytes) override { peer_->release(base, bytes); }

    std::size_t get(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        return spoil(peer_->get(base, bytes, out, capacity), base, out, capacity);
    }
    std::size_t get_reset(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        if (fault_ == Fault::forgets_to_reset)
            return peer_->get(base, bytes, out, capacity);
        const std::size_t count = peer_->get_reset(base, bytes, out, capacity);
        if (fault_ == Fault::resets_too_much)
            peer_->reset(base, bytes);
        return spoil(count, base, out, capacity);
    }
    void reset(char* base, std::size_t bytes) override
    {
        if (fault_ != Fault::forgets_to_reset)
            peer_->reset(base, bytes);
    }

  private:
    std::size_t spoil(std::size_t count, char* base, void** out, std::size_t capacity) const
    {
        if (fault_ == Fault::loses_a_page && count > 0)
            return count - 1;
        if (fault_ == Fault::invents_a_page && count < capacity)
            out[count++] = base;
        if (fault_ == Fault::repeats_a_page && count > 1)
            out[count - 1] = out[count - 2];
        return count;
    }

    std::unique_ptr<Peer> peer_;
    Fault fault_;
};

} // namespace bench
