// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Reading and re-arming a page is one step: of two threads that get+reset the same range at the
// same time, exactly one receives each written page.
#include "support.h"

#include <algorithm>
#include <barrier>
#include <thread>

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(4096);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    constexpr int rounds = 100;
    std::size_t shared_rounds = 0;
    Pages found[2];
    std::barrier barrier(2);
    const auto resetter = [&](std::size_t self) {
        for (int round = 0; round < rounds; ++round) {
            if (self == 0)
                for (std::size_t page = 0; page < memory.pages(); page += 2)
                    memory.write(page);
            barrier.arrive_and_wait();
            found[self] = tracker.get_and_reset(memory);
            barrier.arrive_and_wait();
            if (self == 0) {
                if (!found[0].empty() && !found[1].empty())
                    ++shared_rounds;
                Pages both = found[0];
                both.insert(both.end(), found[1].begin(), found[1].end());
                std::sort(both.begin(), both.end());
                CHECK_EQ(both.size(), memory.pages() / 2);
                CHECK(std::adjacent_find(both.begin(), both.end()) == both.end());
            }
            barrier.arrive_and_wait();
        }
    };
    std::thread other(resetter, 1);
    resetter(0);
    other.join();
    note("both threads received pages in %zu of %d rounds", shared_rounds, rounds);
    return finish();
}
