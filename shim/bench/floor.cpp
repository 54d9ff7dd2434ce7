// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The floor: what a program would write by hand for one region that it knows, with the library's
// decisions (docs/architecture.md: nothing armed up front, presence-qualified masks) and nothing
// around the ioctl. No check, no table of regions, no latch.
#include "shim/bench/peers.h"

#include <sys/mman.h>

#include "abi/linux/pagemap_scan.h"
#include "abi/linux/userfaultfd.h"
#include "shim/bench/kernel_tracking.h"
#include "shim/bench/memory.h"

namespace bench {

namespace {

using namespace writewatch::abi;

// Written, populated, and not by a read.
constexpr ScanMasks written_and_present{page_is_written | page_is_pfnzero, page_is_pfnzero,
                                        page_is_present | page_is_swapped};
constexpr std::size_t vector_length = 512;

class Floor : public Peer {
  public:
    std::string_view name() const override { return "floor"; }

    char* allocate(std::size_t bytes) override { return map(bytes, PROT_READ | PROT_WRITE); }
    char* reserve(std::size_t bytes) override { return map(bytes, PROT_NONE); }
    void commit(char* base, std::size_t bytes) override { allow_access(base, bytes); }
    void release(char* base, std::size_t bytes) override { unmap_memory(base, bytes); }

    std::size_t get(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        return pagemap_.collect(written_and_present, vector_length, false, base, bytes, out,
                                capacity);
    }
    std::size_t get_reset(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        return pagemap_.collect(written_and_present, vector_length, true, base, bytes, out,
                                capacity);
    }
    void reset(char* base, std::size_t bytes) override { pagemap_.reset_all(base, bytes); }

  private:
    char* map(std::size_t bytes, int protection) const
    {
        char* const base = map_memory(bytes, protection);
        userfaultfd_.watch(base, bytes);
        return base;
    }

    WriteProtectFd userfaultfd_{uffd_feature_wp_async};
    PagemapFd pagemap_;
};

} // namespace

std::unique_ptr<Peer> make_floor()
{
    return std::make_unique<Floor>();
}

} // namespace bench
