// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A thread that stops at every instruction of its own: with the trap flag set, each instruction
// raises SIGTRAP in the thread that ran it (the handler runs without the flag). So the library
// under test is the shipped one, and needs no hook.
//
// What this shows where a debugger would stop is what a suspension or an end by a signal sees: the
// signal would have been delivered here, unless the thread has blocked it, and the handler can tell
// (blocks). An instruction that enters the kernel is one step; what happens to a thread suspended
// in there is the kernel's affair.
#pragma once

#include <csignal>
#include <cstdint>
#include <ucontext.h>
#include <x86intrin.h>

namespace stepping {

inline constexpr std::uint64_t trap_flag = 1U << 8;

using Handler = void (*)(int, siginfo_t*, void*);

// A handler of SIGTRAP gets the context of the interrupted instruction; others tell by is_stepping
// whether they interrupted a thread that steps.
inline void install(int signal, Handler handler)
{
    struct sigaction action = {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    sigaction(signal, &action, nullptr);
}

inline void start()
{
    __writeeflags(__readeflags() | trap_flag);
}

inline void stop()
{
    __writeeflags(__readeflags() & ~trap_flag);
}

inline bool is_stepping(const ucontext_t& context)
{
    return (static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_EFL]) & trap_flag) != 0;
}

// What the thread does when the handler returns.
inline void start_in(ucontext_t& context)
{
    context.uc_mcontext.gregs[REG_EFL] |= static_cast<greg_t>(trap_flag);
}

inline void stop_in(ucontext_t& context)
{
    context.uc_mcontext.gregs[REG_EFL] &= ~static_cast<greg_t>(trap_flag);
}

// Whether the interrupted code has blocked the signal. Not sigismember: glibc's sigset_t is larger
// than the kernel's 8 bytes, and knows nothing of its own signals (32, 33).
inline bool blocks(const ucontext_t& context, int signal)
{
    const auto mask = *reinterpret_cast<const std::uint64_t*>(&context.uc_sigmask);
    return (mask >> (signal - 1) & 1) != 0;
}

inline std::uintptr_t address(const ucontext_t& context)
{
    return static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RIP]);
}

// Stops at every instruction of the call.
template<typename Call> auto through(Call call)
{
    start();
    const auto result = call();
    stop();
    return result;
}

} // namespace stepping
