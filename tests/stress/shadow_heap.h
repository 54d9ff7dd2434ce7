// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "tests/stress/platform.h"

#include <writewatch/win32.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace writewatch::test {

inline constexpr std::size_t page = 4096;
inline constexpr DWORD watched = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH;

// One watched allocation and its shadow. Several collectors share the shadow: whoever got a page
// copies it. Two may copy the same page, and the older copy may come last; the page was written in
// between then, and is returned again. Unless the copies themselves overlap: so a copy holds the
// page's lock, and reads the page while it does.
class Heap {
  public:
    explicit Heap(std::size_t pages) : pages_(pages), shadow_(pages * page), locks_(pages)
    {
        base_ = static_cast<char*>(VirtualAlloc(nullptr, pages_ * page, watched, PAGE_READWRITE));
        if (base_ == nullptr)
            fail("VirtualAlloc");
    }
    ~Heap()
    {
        if (!VirtualFree(base_, 0, MEM_RELEASE))
            fail("VirtualFree");
    }
    Heap(const Heap&) = delete;
    Heap& operator=(const Heap&) = delete;

    char* base() const { return base_; }
    std::size_t pages() const { return pages_; }

    // Fills `found` up to its size, and makes that the number of pages found.
    void get_and_reset(std::size_t first, std::size_t count, std::vector<void*>& found)
    {
        ULONG_PTR entries = found.size();
        ULONG granularity = 0;
        if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, base_ + first * page, count * page, found.data(),
                          &entries, &granularity) != 0)
            fail("GetWriteWatch");
        found.resize(entries);
        for (std::size_t i = 0; i < entries; ++i) {
            const auto* const from = static_cast<char*>(found[i]);
            if (from < base_ + first * page || from >= base_ + (first + count) * page ||
                (i > 0 && found[i] <= found[i - 1]))
                fail("a page out of order or range");
        }
    }

    void copy(const std::vector<void*>& found)
    {
        for (void* const from : found)
            copy(static_cast<std::size_t>(static_cast<char*>(from) - base_) / page);
    }

    // Everything, once nobody writes any more.
    void collect_rest()
    {
        std::vector<void*> found;
        do {
            found.resize(100);
            get_and_reset(0, pages_, found);
            copy(found);
        } while (found.size() == 100);
    }

    // The pages that differ.
    std::vector<std::size_t> differences() const
    {
        std::vector<std::size_t> result;
        for (std::size_t i = 0; i < pages_; ++i) {
            if (std::memcmp(base_ + i * page, shadow_.data() + i * page, page) != 0)
                result.push_back(i);
        }
        return result;
    }

    // ---- with everybody else out of these pages ----

    void decommit_and_commit(std::size_t first, std::size_t count)
    {
        char* const start = base_ + first * page;
        if (!VirtualFree(start, count * page, MEM_DECOMMIT))
            fail("MEM_DECOMMIT");
        if (VirtualAlloc(start, count * page, MEM_COMMIT, PAGE_READWRITE) != start)
            fail("MEM_COMMIT");
        // Pages without contents are not reported: whoever decommits knows that they are zero.
        std::memset(shadow_.data() + first * page, 0, count * page);
    }
    void release_and_allocate_again()
    {
        char* const before = base_;
        if (!VirtualFree(base_, 0, MEM_RELEASE))
            fail("MEM_RELEASE");
        base_ = static_cast<char*>(VirtualAlloc(before, pages_ * page, watched, PAGE_READWRITE));
        if (base_ == nullptr) // somebody else's mapping came in between
            base_ =
                static_cast<char*>(VirtualAlloc(nullptr, pages_ * page, watched, PAGE_READWRITE));
        if (base_ == nullptr)
            fail("VirtualAlloc again");
        std::fill(shadow_.begin(), shadow_.end(), '\0');
    }
    // Writers of these pages are out; readers and collectors need not be.
    void flip_protection(std::size_t first, std::size_t count)
    {
        DWORD old = 0;
        if (!VirtualProtect(base_ + first * page, count * page, PAGE_READONLY, &old) ||
            !VirtualProtect(base_ + first * page, count * page, PAGE_READWRITE, &old))
            fail("VirtualProtect");
    }

  private:
    // Word by word, atomically: the page is being written.
    void copy(std::size_t number)
    {
        const auto* const from = reinterpret_cast<const std::uint64_t*>(base_ + number * page);
        auto* const to = reinterpret_cast<std::uint64_t*>(shadow_.data() + number * page);
        while (locks_[number].test_and_set(std::memory_order_acquire))
            std::this_thread::yield();
        for (std::size_t i = 0; i < page / sizeof(*to); ++i)
            to[i] = __atomic_load_n(from + i, __ATOMIC_ACQUIRE);
        locks_[number].clear(std::memory_order_release);
    }

    std::size_t pages_;
    char* base_ = nullptr;
    std::vector<char> shadow_;
    std::vector<std::atomic_flag> locks_;
};

} // namespace writewatch::test
