// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/model/generate.h"

#include <algorithm>
#include <array>
#include <random>

namespace model {

namespace {

class Generator {
  public:
    Generator(std::uint64_t seed, const Avoid& avoid) : random_(seed), avoid_(avoid) {}

    Call next()
    {
        // A third of the calls asks or resets; the rest makes something to be asked about.
        static constexpr std::array kinds{
            Kind::alloc,   Kind::alloc,       Kind::commit,   Kind::commit,      Kind::decommit,
            Kind::protect, Kind::protect,     Kind::drop,     Kind::write,       Kind::write,
            Kind::write,   Kind::write_every, Kind::write,    Kind::read,        Kind::get,
            Kind::get,     Kind::get,         Kind::get,      Kind::reset,       Kind::reset,
            Kind::query,   Kind::release,     Kind::decommit, Kind::write_every,
        };
        Call call;
        do
            call.kind = kinds[below(kinds.size())];
        while (avoid_.kinds.contains(call.kind));
        // Regions live long enough to gather a history.
        if (call.kind == Kind::release && !one_in(4))
            call.kind = Kind::get;
        call.slot = static_cast<unsigned>(below(slots));
        switch (call.kind) {
        case Kind::alloc:
            alloc(call);
            break;
        case Kind::release:
            break;
        case Kind::commit:
            range(call);
            call.value = PAGE_READWRITE;
            break;
        case Kind::decommit:
            range(call);
            if (one_in(6))
                call.offset = 0, call.size = 0;
            break;
        case Kind::protect:
            range(call);
            call.value =
                pick<std::uint32_t>({PAGE_READWRITE, PAGE_READWRITE, PAGE_READWRITE, PAGE_READONLY,
                                     PAGE_NOACCESS, PAGE_EXECUTE_READWRITE});
            break;
        case Kind::drop:
            range(call);
            call.offset &= ~std::int64_t{page_size - 1};
            call.size =
                std::max<std::uint64_t>(call.size & ~std::uint64_t{page_size - 1}, page_size);
            break;
        case Kind::write:
            range(call);
            if (one_in(2))
                call.size = pick<std::uint64_t>({1, 2, 4, 8, 16, 4096, 4097});
            call.value = static_cast<std::uint32_t>(below(256));
            break;
        case Kind::write_every:
            range(call);
            call.value = static_cast<std::uint32_t>(below(256));
            call.number = page_size * pick<std::uint64_t>({1, 2, 2, 3, 7, 64});
            break;
        case Kind::read:
            range(call);
            break;
        case Kind::get:
            get(call);
            break;
        case Kind::reset:
            range(call);
            spoil(call);
            break;
        case Kind::query:
            range(call);
            call.size = 0;
            break;
        }
        return call;
    }

  private:
    std::uint64_t below(std::uint64_t end) { return random_() % end; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }

    template<typename T> T pick(std::initializer_list<T> values)
    {
        return values.begin()[below(values.size())];
    }

    void alloc(Call& call)
    {
        // Across the sizes at which the kernel's tables (512 pages) and result vectors end.
        pages_[call.slot] =
            pick<std::uint64_t>({1, 2, 3, 8, 8, 16, 33, 64, 200, 511, 512, 513, 700, 1100});
        call.size = pages_[call.slot] * page_size;
        if (one_in(5))
            call.size -= below(page_size);
        call.value = MEM_RESERVE;
        if (!one_in(4))
            call.value |= MEM_COMMIT;
        if (!one_in(8))
            call.value |= MEM_WRITE_WATCH;
        if (one_in(16))
            call.value |= MEM_TOP_DOWN;
        call.number = one_in(8) ? PAGE_READONLY : PAGE_READWRITE;
    }

    /// Bytes of the slot's region: mostly inside it, of all sizes, and often not on page edges.
    void range(Call& call)
    {
        const std::uint64_t pages = std::max<std::uint64_t>(pages_[call.slot], 1);
        const std::uint64_t first = below(pages);
        std::uint64_t count = 1;
        if (one_in(2))
            count = 1 + below(pages - first);
        else if (first + 1 < pages)
            count = 1 + below(std::min<std::uint64_t>(pages - first, 4));
        call.offset = static_cast<std::int64_t>(first * page_size);
        call.size = count * page_size;
        if (one_in(5)) { // everything
            call.offset = 0;
            call.size = pages * page_size;
        }
        if (one_in(3)) { // shrink to odd bytes
            const std::uint64_t cut = below(page_size);
            call.offset += static_cast<std::int64_t>(cut);
            call.size -= cut;
            call.size -= below(std::min<std::uint64_t>(call.size, page_size));
        }
        if (!avoid_.mistakes && one_in(40)) // over the end
            call.size += pages * page_size;
    }

    /// Sometimes, a range that no region has.
    void spoil(Call& call)
    {
        if (avoid_.mistakes || !one_in(10))
            return;
        switch (below(6)) {
        case 0:
            call.size = 0;
            break;
        case 1:
            call.null_address = true;
            break;
        case 2:
            call.size = ~std::uint64_t{0} - below(2 * page_size);
            break;
        case 3:
            call.offset = -static_cast<std::int64_t>(1 + below(2 * page_size));
            break;
        case 4: // one byte past the end
            call.size = pages_[call.slot] * page_size - static_cast<std::uint64_t>(call.offset) + 1;
            break;
        default:
            call.offset = static_cast<std::int64_t>(pages_[call.slot] * page_size);
            break;
        }
    }

    void get(Call& call)
    {
        range(call);
        spoil(call);
        call.value = one_in(2) ? WRITE_WATCH_FLAG_RESET : 0;
        call.number = one_in(3) ? pages_[call.slot] + below(3)
                                : pick<std::uint64_t>({1, 2, 3, 7, 64, 100, 512, 4096});
        if (avoid_.mistakes)
            return;
        if (one_in(20))
            call.value = pick<std::uint32_t>({2, 3, 0x80000000, 0xffffffff});
        if (one_in(20))
            call.number = 0;
        // About memory that nobody watches, Wine's own function answers, and it looks at addresses
        // NULL and at a size that is nothing or wraps in another order: one of the two mistakes at
        // a time.
        const bool odd_size = call.size == 0 || call.size > std::uint64_t{1} << 48;
        call.null_array = !odd_size && one_in(30);
        call.null_count = one_in(40);
        call.null_granularity = one_in(40);
    }

    std::mt19937_64 random_;
    const Avoid& avoid_;
    std::array<std::uint64_t, slots> pages_{};
};

} // namespace

Sequence generate(std::uint64_t seed, std::size_t steps, const Avoid& avoid)
{
    Generator generator(seed, avoid);
    Sequence sequence;
    for (std::size_t i = 0; i < steps; ++i)
        sequence.push_back(generator.next());
    return sequence;
}

} // namespace model
