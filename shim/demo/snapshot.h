// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A second copy of the heap, kept current by copying only what was written: the use of write
// watches that collectors (what changed since marking?) and emulators (save states) share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "shim/demo/heap.h"

namespace demo {

class Snapshot {
  public:
    // What one pass over the heap found and cost.
    struct Pass {
        std::size_t pages = 0; // pages reported as written, and copied
        std::size_t calls = 0; // of GetWriteWatch
        std::uint64_t get_ns = 0;
        std::uint64_t copy_ns = 0;
    };

    // `capacity`: pages that one GetWriteWatch call may return. Collectors use a small array (.NET
    // about 100 entries, bdwgc 4096) and call again while it comes back full; save states use the
    // page count.
    Snapshot(const Heap& heap, std::size_t capacity);

    // Asks which pages were written since the last pass, resets them, copies them. Threads may go
    // on writing: reset comes before copy, so a write that the copy misses is found by the next
    // pass. Throws std::runtime_error when GetWriteWatch fails.
    Pass update();

    // From now on the heap's first page is not copied: shows that first_difference() sees a loss.
    void lose_a_page() { lose_first_page_ = true; }

    // The first byte that differs from the heap, or nothing. Only meaningful while no thread
    // writes.
    std::optional<std::size_t> first_difference() const;

  private:
    void copy_page(void* page);

    const Heap& heap_;
    std::vector<std::uint64_t> shadow_;
    std::vector<void*> written_; // the array GetWriteWatch fills
    bool lose_first_page_ = false;
};

} // namespace demo
