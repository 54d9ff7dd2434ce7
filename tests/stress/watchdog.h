// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <thread>

namespace stress {

// A thread's work until `done`: when the number that `progress` answers has not changed for so many
// seconds, says so by report(number) and ends the program with exit status 2.
template<typename Progress, typename Report>
void watch_for_deadlock(const std::atomic<bool>& done, unsigned limit, Progress progress,
                        Report report)
{
    using namespace std::chrono_literals;
    std::uint64_t last = ~std::uint64_t{0};
    auto since = std::chrono::steady_clock::now();
    while (!done) {
        std::this_thread::sleep_for(50ms);
        const auto now = std::chrono::steady_clock::now();
        if (const std::uint64_t number = progress(); number != last) {
            last = number;
            since = now;
        } else if (now - since > std::chrono::seconds(limit)) {
            report(last);
            std::_Exit(2);
        }
    }
}

} // namespace stress
