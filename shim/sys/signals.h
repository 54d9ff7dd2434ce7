// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/sys/result.h"

#include <csignal>

namespace writewatch::sys {

struct SavedSignals {
    sigset_t mask;
    int cancellation;
};

// Blocks every signal but the synchronous ones: a thread that holds one of our locks can then not
// be suspended (Wine suspends by SIGUSR1, terminates by SIGQUIT). And disables pthread_cancel(3),
// whose signal glibc lets nobody block: it would end the thread with the lock held, or unwind it
// through a noexcept function, which ends the program.
void block_asynchronous_signals(SavedSignals& saved) noexcept;
void restore_signals(const SavedSignals& saved) noexcept;

class SignalBlock {
  public:
    SignalBlock() noexcept { block_asynchronous_signals(saved_); }
    ~SignalBlock() { restore_signals(saved_); }
    SignalBlock(const SignalBlock&) = delete;
    SignalBlock& operator=(const SignalBlock&) = delete;

  private:
    SavedSignals saved_;
};

// Makes a call that must not be cut short: it takes locks, opens files, allocates, or has changed
// only one of two things that belong together. A thread that is ended by a signal (Wine's
// TerminateThread, pthread_exit in a handler) is unwound, and unwinding through a function with an
// exception table ends the process; so the signal waits until we are back in a function without
// one. For the functions that programs call, in place of a guard object: its destructor would give
// them such a table (tests/integration/preload/abi-guard). A call that has one must not be inlined
// into them either.
template<typename Call> auto uninterrupted(Call call)
{
    SavedSignals saved;
    block_asynchronous_signals(saved);
    const auto result = call();
    restore_signals(saved);
    return result;
}

using SignalHandler = void (*)(int, siginfo_t*, void*);

// Installs a SA_SIGINFO handler and returns what was there before.
Result<struct sigaction> install_handler(int signal, SignalHandler handler) noexcept;

// Hands a signal to an earlier handler as the kernel would have.
void chain_signal(const struct sigaction& earlier, int signal, siginfo_t* info,
                  void* context) noexcept;

} // namespace writewatch::sys
