// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/signals.h"

#include <cerrno>
#include <pthread.h>

namespace writewatch::sys {

// It throws nothing, which its declaration does not say: called as it stands, it would give these
// functions exception tables, and a thread that is ended in here (Wine's TerminateThread) would end
// the process.
using SetCancelState = int (*)(int, int*) noexcept;
static const auto set_cancel_state = reinterpret_cast<SetCancelState>(&pthread_setcancelstate);

void block_asynchronous_signals(SavedSignals& saved) noexcept
{
    set_cancel_state(PTHREAD_CANCEL_DISABLE, &saved.cancellation);
    sigset_t blocked;
    sigfillset(&blocked);
    for (const int synchronous : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS})
        sigdelset(&blocked, synchronous);
    pthread_sigmask(SIG_BLOCK, &blocked, &saved.mask);
}

void restore_signals(const SavedSignals& saved) noexcept
{
    pthread_sigmask(SIG_SETMASK, &saved.mask, nullptr);
    set_cancel_state(saved.cancellation, nullptr);
}

Result<struct sigaction> install_handler(int signal, SignalHandler handler) noexcept
{
    struct sigaction action = {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&action.sa_mask);
    struct sigaction earlier = {};
    if (::sigaction(signal, &action, &earlier) != 0)
        return fail(errno, "sigaction");
    return earlier;
}

void chain_signal(const struct sigaction& earlier, int signal, siginfo_t* info,
                  void* context) noexcept
{
    if ((earlier.sa_flags & SA_SIGINFO) != 0) {
        earlier.sa_sigaction(signal, info, context);
        return;
    }
    if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) {
        earlier.sa_handler(signal);
        return;
    }
    const bool sent =
        info->si_code <= 0; // by kill(2) and its like: no instruction will fault again
    if (sent && earlier.sa_handler == SIG_IGN)
        return;
    // A fault cannot be ignored: put the default back and return, so that the instruction faults
    // again and the core dump shows the program's own frame.
    struct sigaction fatal = {};
    fatal.sa_handler = SIG_DFL;
    ::sigaction(signal, &fatal, nullptr);
    if (sent)
        ::raise(signal); // delivered when the handler returns
}

} // namespace writewatch::sys
