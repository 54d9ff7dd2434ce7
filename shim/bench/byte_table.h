// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A byte of state for each page of the address space, for the peers that keep the state themselves;
// sparse, resident only where it was used.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace bench {

enum PageState : std::uint8_t { not_watched = 0, clean = 1, written = 2 };

class ByteTable {
  public:
    ByteTable();
    ~ByteTable();
    ByteTable(const ByteTable&) = delete;
    ByteTable& operator=(const ByteTable&) = delete;

    std::atomic<std::uint8_t>& of(const void* address) const
    {
        return bytes_[reinterpret_cast<std::uintptr_t>(address) / page_bytes];
    }

    void set(char* base, std::size_t bytes, PageState state) const;

    // The addresses of the first `capacity` written pages; returns their number. Sets `end` behind
    // the last page that was looked at.
    std::size_t collect(char* base, std::size_t bytes, void** out, std::size_t capacity,
                        char*& end) const;

    // Makes the written pages of [base, end) clean. protect(first, last) is called for each run of
    // watched pages in which there are some, from the first of them to behind the last.
    template<typename Protect> void make_clean(char* base, char* end, Protect protect) const
    {
        char* first = nullptr;
        char* last = nullptr;
        for (char* page = base; page < end; page += page_bytes) {
            std::atomic<std::uint8_t>& state = of(page);
            const std::uint8_t value = state.load(std::memory_order_relaxed);
            if (value == written) {
                state.store(clean, std::memory_order_relaxed);
                first = first ? first : page;
                last = page + page_bytes;
            } else if (value == not_watched && first) {
                protect(first, last);
                first = nullptr;
            }
        }
        if (first)
            protect(first, last);
    }

  private:
    static constexpr std::size_t page_bytes = 4096;
    std::atomic<std::uint8_t>* bytes_;
};

} // namespace bench
