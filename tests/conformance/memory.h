// SPDX-License-Identifier: LGPL-2.1-or-later
// Watched memory and questions about it, in pages counted from the start of the region.
#ifndef WRITEWATCH_TESTS_CONFORMANCE_MEMORY_H
#define WRITEWATCH_TESTS_CONFORMANCE_MEMORY_H

#include "conformance.h"

#include <cstddef>
#include <vector>

namespace conformance {

inline constexpr std::size_t page_size = 0x1000; ///< x86-64 only, like write watches in Wine

inline constexpr DWORD reserved = MEM_RESERVE | MEM_WRITE_WATCH;
inline constexpr DWORD committed = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH;
inline constexpr DWORD unwatched = MEM_RESERVE | MEM_COMMIT;

/// An allocation of VirtualAlloc, released at the end of its scope. Whatever fails in its functions
/// is recorded as a failure of the rule and leaves it.
class Region {
  public:
    explicit Region(std::size_t pages, DWORD type = committed, DWORD protect = PAGE_READWRITE,
                    void* at = nullptr);
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;
    ~Region();

    std::byte* base() const { return base_; }
    std::byte* end() const { return base_ + size(); }
    std::byte* page(std::size_t index, std::size_t offset = 0) const
    {
        return base_ + index * page_size + offset;
    }
    std::size_t pages() const { return pages_; }
    std::size_t size() const { return pages_ * page_size; }

    /// One byte into each of these pages.
    void write(std::size_t page) const;
    void write(const Pages& pages) const;
    void write_all() const;
    std::byte read(std::size_t page) const;

    /// GetWriteWatch of the whole region, or of some pages of it.
    Pages written(DWORD flags = 0) const;
    Pages written(DWORD flags, std::size_t first, std::size_t count, std::size_t capacity) const;

    /// GetWriteWatch with WRITE_WATCH_FLAG_RESET of the whole region.
    Pages take() const { return written(WRITE_WATCH_FLAG_RESET); }

    /// ResetWriteWatch.
    void reset() const;
    void reset(std::size_t first, std::size_t count) const;

    void commit(std::size_t first, std::size_t count, DWORD protect = PAGE_READWRITE) const;
    void decommit(std::size_t first, std::size_t count) const;
    void decommit_all() const;
    void protect(std::size_t first, std::size_t count, DWORD protect) const;
    void release();

  private:
    std::byte* base_;
    std::size_t pages_;
};

/// Where \p address lies in \p region. An address that is not the start of one of its pages is
/// recorded as a failure.
std::size_t page_of(const Region& region, const void* address);

/// What the next allocation of the same size at \p at needs: the range must be free.
bool is_free(const void* at, std::size_t size);

/// One store of one byte that the compiler cannot remove or move.
void store(std::byte* at, unsigned value = 1);

/// \p count page numbers from \p first on, every \p step th.
Pages every(std::size_t step, std::size_t count, std::size_t first = 0);

} // namespace conformance

#endif
