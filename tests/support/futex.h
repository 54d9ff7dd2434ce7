// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Threads that wait for each other, also in signal handlers, for which std::atomic::wait is not
// made.
#pragma once

#include <atomic>
#include <climits>
#include <cstdint>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace writewatch::test {

inline void wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value)
{
    while (word == value)
        syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

// After the word was changed.
inline void wake_all(std::atomic<std::uint32_t>& word)
{
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

} // namespace writewatch::test
