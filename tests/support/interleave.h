// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What another thread does at each instruction of a call that holds no lock, put there exactly: in
// the same thread, by stepping.h. (What processors reorder, it does not show.)
#pragma once

#include "tests/support/stepping.h"

#include <atomic>
#include <cstddef>
#include <functional>

namespace writewatch::test {

inline const std::function<void()>* interruption = nullptr;
inline std::size_t instructions_left = 0;

inline void interrupt(int, siginfo_t*, void* context)
{
    if (instructions_left-- != 0)
        return;
    stepping::stop_in(*static_cast<ucontext_t*>(context));
    (*interruption)();
}

// Makes the call, and the other one before its `number`th instruction. False: it has not so many,
// and the other one was not made.
inline bool call_with(const std::function<void()>& other, std::size_t number,
                      const std::function<void()>& call)
{
    interruption = &other;
    instructions_left = number;
    stepping::install(SIGTRAP, interrupt);
    stepping::start();
    call();
    stepping::stop();
    std::atomic_signal_fence(std::memory_order_seq_cst); // the handler's stores, up to here
    return instructions_left == ~std::size_t{0};
}

} // namespace writewatch::test
