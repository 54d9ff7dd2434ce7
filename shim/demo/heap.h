// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The object heap. Its memory is allocated with MEM_WRITE_WATCH: from then on the system knows
// which of its pages were written, and nothing has to be called when an object changes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace demo {

class Heap {
  public:
    // An object is a reference to another object and seven words of data.
    static constexpr std::size_t words_per_object = 8;
    static constexpr std::size_t object_size = words_per_object * sizeof(std::uint64_t);
    static constexpr std::size_t page_size = 4096;

    // Throws std::runtime_error when the memory cannot be had.
    explicit Heap(std::size_t bytes);
    ~Heap();
    Heap(const Heap&) = delete;
    Heap& operator=(const Heap&) = delete;

    std::uint64_t* words() const { return words_; }
    std::size_t size() const { return size_; }
    std::size_t pages() const { return size_ / page_size; }
    std::size_t objects() const { return size_ / object_size; }

    // Threads write while the collector copies. Each word must be copied whole, and no order
    // between words is needed: what is written after its page was copied makes that page dirty
    // again.
    void write(std::size_t object, std::size_t word, std::uint64_t value)
    {
        std::uint64_t& target = words_[object * words_per_object + word];
        std::atomic_ref(target).store(value, std::memory_order_relaxed);
    }

  private:
    std::uint64_t* words_;
    std::size_t size_;
};

} // namespace demo
