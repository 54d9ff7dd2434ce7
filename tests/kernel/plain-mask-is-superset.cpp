// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The idle fast path: whatever the qualified mask reports, the plain mask reports too, so "the
// plain mask finds nothing" is final. Random sequences of writes, reads, drops, protection changes,
// eager arming, forks and resets; after each step the two answers are compared.
#include "support.h"

#include <algorithm>
#include <random>

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(pages_per_huge_page + 64, huge_page_size); // two page tables
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);

    const char* const given = std::getenv("WRITEWATCH_SEED");
    const std::uint32_t seed = given != nullptr
                                   ? static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10))
                                   : std::random_device{}();
    note("seed %u (WRITEWATCH_SEED repeats it)", seed);
    std::mt19937 random(seed);
    const auto below = [&](std::size_t limit) { return random() % limit; };

    std::size_t hits = 0;
    for (int step = 0; step < 30000 && failures == 0; ++step) {
        const std::size_t first = below(memory.pages());
        const std::size_t count = 1 + below(std::min<std::size_t>(24, memory.pages() - first));
        switch (below(8)) {
        case 0:
        case 1:
            for (std::size_t i = 0; i < count; ++i)
                memory.write(first + i);
            break;
        case 2:
            for (std::size_t i = 0; i < count; ++i)
                memory.read(first + i);
            break;
        case 3:
            memory.advise(MADV_DONTNEED, first, count);
            break;
        case 4:
            memory.protect(PROT_NONE, first, count);
            memory.protect(PROT_READ | PROT_WRITE, first, count);
            break;
        case 5:
            tracker.arm(memory.page(first), count * page_size);
            break;
        case 6:
            tracker.get_and_reset(memory);
            break;
        case 7:
            if (step % 16 == 0)
                in_child([&] { memory.write(first); });
            else
                memory.advise(MADV_FREE, first, count);
            break;
        }
        const Pages found = tracker.get(memory);
        const Pages wide = tracker.pages(memory, plain);
        hits += found.size();
        CHECK(std::includes(wide.begin(), wide.end(), found.begin(), found.end()));
    }
    CHECK(hits > 50000);
    note("%zu hits compared", hits);
    return finish();
}
