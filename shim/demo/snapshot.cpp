// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/demo/snapshot.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#include <writewatch/win32.h>

#include "shim/demo/clock.h"

namespace demo {

Snapshot::Snapshot(const Heap& heap, std::size_t capacity)
    : heap_(heap), shadow_(heap.size() / sizeof(std::uint64_t)), written_(capacity)
{
    // Fresh memory reads as zero and is not reported as written; the vector begins as zero too.
    // Touch the array once: its first use must not count as the cost of a get.
    std::fill(written_.begin(), written_.end(), nullptr);
}

Snapshot::Pass Snapshot::update()
{
    Pass pass;
    char* at = reinterpret_cast<char*>(heap_.words());
    char* const end = at + heap_.size();
    while (at < end) {
        ULONG_PTR count = written_.size();
        ULONG granularity = 0;
        const auto start = Clock::now();
        const UINT result = GetWriteWatch(WRITE_WATCH_FLAG_RESET, at, static_cast<SIZE_T>(end - at),
                                          written_.data(), &count, &granularity);
        const auto got = Clock::now();
        if (result != 0)
            throw std::runtime_error("GetWriteWatch failed: error " +
                                     std::to_string(GetLastError()));
        for (std::size_t i = 0; i < count; ++i)
            copy_page(written_[i]);
        pass.get_ns += elapsed_ns(start, got);
        pass.copy_ns += elapsed_ns(got, Clock::now());
        pass.pages += count;
        ++pass.calls;
        if (count < written_.size())
            break; // the array was not filled: everything up to `end` is known
        at = static_cast<char*>(written_[count - 1]) + granularity;
    }
    return pass;
}

void Snapshot::copy_page(void* page)
{
    if (lose_first_page_ && page == heap_.words())
        return;
    constexpr std::size_t words_per_page = Heap::page_size / sizeof(std::uint64_t);
    auto* const from = static_cast<std::uint64_t*>(page);
    std::uint64_t* const to = shadow_.data() + (from - heap_.words());
    for (std::size_t i = 0; i < words_per_page; ++i)
        to[i] = std::atomic_ref(from[i]).load(std::memory_order_relaxed);
}

std::optional<std::size_t> Snapshot::first_difference() const
{
    const auto* const heap = reinterpret_cast<const unsigned char*>(heap_.words());
    const auto* const shadow = reinterpret_cast<const unsigned char*>(shadow_.data());
    const auto* const differs = std::mismatch(heap, heap + heap_.size(), shadow).first;
    if (differs == heap + heap_.size())
        return std::nullopt;
    return static_cast<std::size_t>(differs - heap);
}

} // namespace demo
