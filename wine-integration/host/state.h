// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The preload's state. It exists only in a process whose Wine was taken over.
#pragma once

#include "shim/core/watch_set.h"
#include "shim/registry/publisher.h"
#include "wine-integration/host/wine_functions.h"

namespace writewatch::wine {

// windows_process.cpp
void identify_process(registry::WindowsIdentity& identity) noexcept;

struct Host {
    explicit Host(backend::Backend& backend) noexcept
        : watches(backend, publisher.open_if_enabled())
    {}

    registry::Publisher publisher{registry::Host::wine, &identify_process};
    core::WatchSet watches;
    WineFunctions wine;
};

// Set once, before the first hook can run; never freed, since threads outlive main in Wine.
extern Host* host;

// Whether anything in the range is. Lock-free.
bool is_watched(PageRange range) noexcept;

} // namespace writewatch::wine
