// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The control: memory that nobody watches.
#include "shim/bench/peers.h"

#include <sys/mman.h>

#include "shim/bench/memory.h"

namespace bench {

namespace {

class None : public Peer {
  public:
    std::string_view name() const override { return "none"; }
    bool answers() const override { return false; }

    char* allocate(std::size_t bytes) override { return map_memory(bytes, PROT_READ | PROT_WRITE); }
    char* reserve(std::size_t bytes) override { return map_memory(bytes, PROT_NONE); }
    void commit(char* base, std::size_t bytes) override { allow_access(base, bytes); }
    void release(char* base, std::size_t bytes) override { unmap_memory(base, bytes); }

    std::size_t get(char*, std::size_t, void**, std::size_t) override { return 0; }
    std::size_t get_reset(char*, std::size_t, void**, std::size_t) override { return 0; }
    void reset(char*, std::size_t) override {}
};

} // namespace

std::unique_ptr<Peer> make_none()
{
    return std::make_unique<None>();
}

} // namespace bench
