// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/model/shrink.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace model {

namespace {

using Fails = std::function<bool(const Sequence&)>;

/// Leaves out runs of calls, halves first, then ever shorter ones. True if any could go.
bool remove_calls(Sequence& sequence, const Fails& fails)
{
    bool removed = false;
    for (std::size_t length = std::max<std::size_t>(sequence.size() / 2, 1); length > 0;
         length /= 2) {
        for (std::size_t start = sequence.size(); start > 0;) {
            const std::size_t first = start > length ? start - length : 0;
            Sequence shorter = sequence;
            shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(first),
                          shorter.begin() + static_cast<std::ptrdiff_t>(start));
            if (!shorter.empty() && fails(shorter)) {
                sequence = std::move(shorter);
                removed = true;
            }
            start = std::min(first, sequence.size());
        }
    }
    return removed;
}

/// Simpler versions of a call, the simplest first.
std::vector<Call> simpler(const Call& call)
{
    std::vector<Call> all;
    const auto add = [&](auto&& change) {
        Call other = call;
        change(other);
        if (!(other == call))
            all.push_back(other);
    };
    add([](Call& c) { c.null_array = c.null_count = c.null_granularity = c.null_address = false; });
    add([](Call& c) { c.slot = 0; });
    if (call.kind == Kind::write_every)
        add([](Call& c) { c.kind = Kind::write, c.size = 1, c.number = 0; });
    if (call.kind == Kind::alloc) {
        add([](Call& c) { c.value = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH; });
        add([](Call& c) { c.number = PAGE_READWRITE; });
    }
    if (call.kind == Kind::protect)
        add([](Call& c) { c.value = PAGE_READWRITE; });
    if (call.kind == Kind::get)
        add([](Call& c) { c.value &= WRITE_WATCH_FLAG_RESET; });
    if (call.kind == Kind::write || call.kind == Kind::write_every)
        add([](Call& c) { c.value = 1; });
    add([](Call& c) { c.offset = 0; });
    add([](Call& c) { c.offset &= ~std::int64_t{page_size - 1}; });
    add([](Call& c) { c.offset = c.offset / 2 & ~std::int64_t{page_size - 1}; });
    add([](Call& c) {
        c.offset -= c.offset >= std::int64_t{page_size} ? std::int64_t{page_size} : 0;
    });
    for (const std::uint64_t size :
         {std::uint64_t{1}, std::uint64_t{page_size}, 2 * page_size, 4 * page_size, 8 * page_size})
        if (size < call.size)
            add([size](Call& c) { c.size = size; });
    if (call.size > page_size)
        add([](Call& c) { c.size = (c.size / 2 + page_size - 1) & ~std::uint64_t{page_size - 1}; });
    if (call.size > page_size)
        add([](Call& c) { c.size -= page_size; });
    if (call.kind == Kind::get) {
        for (const std::uint64_t capacity : {std::uint64_t{4096}, std::uint64_t{64}})
            if (call.number > 64)
                add([capacity](Call& c) { c.number = capacity; });
        for (const std::uint64_t capacity : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{8}})
            if (capacity < call.number)
                add([capacity](Call& c) { c.number = capacity; });
    }
    return all;
}

/// A rough measure of how much there is to read: simplifying must make it less, or it could go
/// round.
std::uint64_t weight(const Call& call)
{
    const auto distance = static_cast<std::uint64_t>(call.offset < 0 ? -call.offset : call.offset);
    return call.slot + distance + call.size + call.number + call.value +
           (call.null_address ? 1 : 0) + (call.null_array ? 1 : 0) + (call.null_count ? 1 : 0) +
           (call.null_granularity ? 1 : 0) + (call.kind == Kind::write_every ? 1 : 0);
}

bool simplify_calls(Sequence& sequence, const Fails& fails)
{
    bool simplified = false;
    for (Call& call : sequence) {
        for (bool again = true; again;) {
            again = false;
            const Call before = call;
            for (const Call& other : simpler(before)) {
                if (weight(other) >= weight(before))
                    continue;
                call = other;
                if (fails(sequence)) {
                    simplified = again = true;
                    break;
                }
                call = before;
            }
        }
    }
    return simplified;
}

} // namespace

Sequence shrink(Sequence sequence, const Fails& fails)
{
    // Leaving out the front half first, then the calls that the simpler rest no longer needs.
    for (bool again = true; again;) {
        again = remove_calls(sequence, fails);
        again = simplify_calls(sequence, fails) || again;
    }
    return sequence;
}

} // namespace model
