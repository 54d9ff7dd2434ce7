// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Eager arming, the design of Wine 10.7 and newer: the whole reservation is registered and
// write-protected when it is allocated, so that "written" alone is the question; 256 runs at a
// time, and one lock around everything, under which the allocation is looked up.
#include "shim/bench/peers.h"

#include <cerrno>
#include <iterator>
#include <map>
#include <mutex>
#include <sys/mman.h>

#include "abi/linux/pagemap_scan.h"
#include "abi/linux/userfaultfd.h"
#include "shim/bench/kernel_tracking.h"
#include "shim/bench/memory.h"

namespace bench {

namespace {

using namespace writewatch::abi;

constexpr ScanMasks written{page_is_written, 0, 0};
constexpr std::size_t vector_length = 256;

class Eager : public Peer {
  public:
    std::string_view name() const override { return "eager"; }

    char* allocate(std::size_t bytes) override { return map(bytes, PROT_READ | PROT_WRITE); }
    char* reserve(std::size_t bytes) override { return map(bytes, PROT_NONE); }
    void commit(char* base, std::size_t bytes) override
    {
        const std::lock_guard lock(lock_);
        allow_access(base, bytes);
    }
    void release(char* base, std::size_t bytes) override
    {
        const std::lock_guard lock(lock_);
        regions_.erase(base);
        unmap_memory(base, bytes);
    }

    std::size_t get(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        return collect(false, base, bytes, out, capacity);
    }
    std::size_t get_reset(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        return collect(true, base, bytes, out, capacity);
    }
    void reset(char* base, std::size_t bytes) override
    {
        const std::lock_guard lock(lock_);
        find(base, bytes);
        pagemap_.reset_all(base, bytes);
    }

  private:
    char* map(std::size_t bytes, int protection)
    {
        const std::lock_guard lock(lock_);
        char* const base = map_memory(bytes, protection);
        userfaultfd_.watch(base, bytes);
        userfaultfd_.protect(base, bytes);
        regions_[base] = bytes;
        return base;
    }

    std::size_t collect(bool reset, char* base, std::size_t bytes, void** out, std::size_t capacity)
    {
        const std::lock_guard lock(lock_);
        find(base, bytes);
        return pagemap_.collect(written, vector_length, reset, base, bytes, out, capacity);
    }

    void find(char* base, std::size_t bytes) const
    {
        const auto next = regions_.upper_bound(base);
        if (next == regions_.begin() ||
            base + bytes > std::prev(next)->first + std::prev(next)->second)
            die("eager: not inside one allocation", EINVAL);
    }

    std::mutex lock_;
    std::map<char*, std::size_t> regions_;
    WriteProtectFd userfaultfd_{uffd_feature_wp_async | uffd_feature_wp_unpopulated};
    PagemapFd pagemap_;
};

} // namespace

std::unique_ptr<Peer> make_eager()
{
    return std::make_unique<Eager>();
}

} // namespace bench
