// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/sys/result.h"

#include <csignal>

namespace writewatch::sys {

// Blocks every signal but the synchronous ones: a thread that holds one of our locks can then not
// be suspended (Wine suspends by SIGUSR1, terminates by SIGQUIT).
void block_asynchronous_signals(sigset_t& saved) noexcept;
void restore_signals(const sigset_t& saved) noexcept;

class SignalBlock {
  public:
    SignalBlock() noexcept { block_asynchronous_signals(saved_); }
    ~SignalBlock() { restore_signals(saved_); }
    SignalBlock(const SignalBlock&) = delete;
    SignalBlock& operator=(const SignalBlock&) = delete;

  private:
    sigset_t saved_;
};

using SignalHandler = void (*)(int, siginfo_t*, void*);

// Installs a SA_SIGINFO handler and returns what was there before.
Result<struct sigaction> install_handler(int signal, SignalHandler handler) noexcept;

// Hands a signal to an earlier handler as the kernel would have.
void chain_signal(const struct sigaction& earlier, int signal, siginfo_t* info,
                  void* context) noexcept;

} // namespace writewatch::sys
