// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Soft-dirty bits (Documentation/admin-guide/mm/soft-dirty.rst): bit 55 of a page's entry in
// /proc/self/pagemap; writing 4 to /proc/self/clear_refs clears those of the whole process, so that
// a part cannot be reset. Probed by trying: kernels without CONFIG_MEM_SOFT_DIRTY accept the write
// and do nothing.
#include "shim/bench/peers.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/bench/memory.h"

namespace bench {

namespace {

constexpr std::uint64_t soft_dirty_bit = std::uint64_t{1} << 55;
constexpr std::uint64_t populated_bits = std::uint64_t{3} << 62; // present, or swapped out

class SoftDirty : public Peer {
  public:
    SoftDirty()
        : pagemap_(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)),
          clear_refs_(open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC))
    {
        if (pagemap_ < 0 || clear_refs_ < 0) {
            const int error = errno;
            close_files();
            throw Unavailable(std::string("/proc/self/clear_refs: ") + std::strerror(error));
        }
        char* const page = map_memory(page_size, PROT_READ | PROT_WRITE);
        write_page(page, 0, 1);
        void* found = nullptr;
        const bool sets = SoftDirty::get(page, page_size, &found, 1) == 1;
        clear();
        const bool clears = SoftDirty::get(page, page_size, &found, 1) == 0;
        unmap_memory(page, page_size);
        if (!sets || !clears) {
            close_files();
            throw Unavailable("this kernel has no soft-dirty bits (CONFIG_MEM_SOFT_DIRTY)");
        }
    }
    ~SoftDirty() override { close_files(); }

    std::string_view name() const override { return "soft-dirty"; }
    bool resets_ranges() const override { return false; }

    // A new mapping counts as written (VM_SOFTDIRTY) until the next clear, which there is for the
    // whole process only.
    char* allocate(std::size_t bytes) override
    {
        char* const memory = map_memory(bytes, PROT_READ | PROT_WRITE);
        clear();
        return memory;
    }
    char* reserve(std::size_t bytes) override { return map_memory(bytes, PROT_NONE); }
    void commit(char* base, std::size_t bytes) override { allow_access(base, bytes); }
    void release(char* base, std::size_t bytes) override { unmap_memory(base, bytes); }

    std::size_t get(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        std::array<std::uint64_t, 8192> entries;
        std::size_t count = 0;
        const std::size_t pages = bytes / page_size;
        for (std::size_t page = 0; page < pages && count < capacity;) {
            const std::size_t wanted = std::min(entries.size(), pages - page);
            const auto first = reinterpret_cast<std::uintptr_t>(base) / page_size + page;
            const ssize_t got = pread(pagemap_, entries.data(), wanted * sizeof entries[0],
                                      static_cast<off_t>(first * sizeof entries[0]));
            if (got != static_cast<ssize_t>(wanted * sizeof entries[0]))
                die("/proc/self/pagemap", errno);
            // A new mapping reads as soft-dirty everywhere; what is not populated was not written.
            for (std::size_t i = 0; i < wanted && count < capacity; ++i)
                if ((entries[i] & soft_dirty_bit) != 0 && (entries[i] & populated_bits) != 0)
                    out[count++] = base + (page + i) * page_size;
            page += wanted;
        }
        return count;
    }
    std::size_t get_reset(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        const std::size_t count = get(base, bytes, out, capacity);
        clear();
        return count;
    }
    void reset(char*, std::size_t) override { clear(); }

  private:
    void clear() const
    {
        if (write(clear_refs_, "4", 1) != 1)
            die("/proc/self/clear_refs", errno);
    }
    void close_files() const
    {
        if (pagemap_ >= 0)
            close(pagemap_);
        if (clear_refs_ >= 0)
            close(clear_refs_);
    }

    int pagemap_;
    int clear_refs_;
};

} // namespace

std::unique_ptr<Peer> make_soft_dirty()
{
    return std::make_unique<SoftDirty>();
}

} // namespace bench
