// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/registry/remote.h"
#include "wine-integration/host/nt.h"

namespace writewatch::wine {

// Whom a real process handle means. Wine's own functions act on the calling process whatever the
// handle says, so a real handle to it works there, and must work here; another process's handle
// must not reset our pages.
struct Target {
    NTSTATUS status = 0; // not STATUS_SUCCESS: what the program is answered
    bool other = false;  // another process ...
    ULONG access = 0;    // ... opened for this ...
    // ... which uses writewatch; null: it does not. Never freed: Wine may leave a call about it at
    // any instruction that touches the program's memory.
    registry::RemoteProcess* remote = nullptr;
};
Target find_target(HANDLE process) noexcept;

} // namespace writewatch::wine
