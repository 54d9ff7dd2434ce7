// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/sys/signals.h"

#include <csignal>

namespace writewatch::wine {

// Calls what takes the core's lock or writes the log. TerminateThread unwinds a thread from a
// signal handler (pthread_exit); through a function with an exception table that would end the
// process, so the signal has to wait until we are back in a hook, which has none. Not a guard
// object: its destructor would give the hook such a table (tests/integration/preload/abi-guard).
template<typename Call> auto uninterrupted(Call call)
{
    sigset_t saved;
    sys::block_asynchronous_signals(saved);
    const auto result = call();
    sys::restore_signals(saved);
    return result;
}

} // namespace writewatch::wine
