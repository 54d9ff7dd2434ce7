// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/sys/result.h"

#include <csignal>

namespace writewatch::sys {

// Blocks every signal but the synchronous ones: a thread that holds one of our locks can then not
// be suspended (Wine suspends by SIGUSR1, terminates by SIGQUIT).
void block_asynchronous_signals(sigset_t& saved) noexcept;
void restore_signals(const sigset_t& saved) noexcept;

// Keeps pthread_cancel(3) from ending the thread in here: it would unwind through noexcept
// functions, which ends the program, at any call of ours that opens, reads or writes a file.
class CancellationBlock {
  public:
    CancellationBlock() noexcept;
    ~CancellationBlock();
    CancellationBlock(const CancellationBlock&) = delete;
    CancellationBlock& operator=(const CancellationBlock&) = delete;

  private:
    int saved_ = 0;
};

class SignalBlock {
  public:
    SignalBlock() noexcept { block_asynchronous_signals(saved_); }
    ~SignalBlock() { restore_signals(saved_); }
    SignalBlock(const SignalBlock&) = delete;
    SignalBlock& operator=(const SignalBlock&) = delete;

  private:
    CancellationBlock cancellation_;
    sigset_t saved_;
};

using SignalHandler = void (*)(int, siginfo_t*, void*);

// Installs a SA_SIGINFO handler and returns what was there before.
Result<struct sigaction> install_handler(int signal, SignalHandler handler) noexcept;

// Hands a signal to an earlier handler as the kernel would have.
void chain_signal(const struct sigaction& earlier, int signal, siginfo_t* info,
                  void* context) noexcept;

} // namespace writewatch::sys
