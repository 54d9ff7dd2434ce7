// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/core/watch_set.h"
#include "shim/host/address_space.h"
#include "shim/host/handles.h"
#include "shim/registry/publisher.h"

#include <atomic>
#include <memory>
#include <string_view>

namespace writewatch::host {

// This process's memory and watches as the Win32 functions see them; made at their first use and
// never destroyed, since other threads may be inside at exit.
class Process {
  public:
    // Throws std::bad_alloc when it cannot be made; the next call tries again.
    static Process& instance();
    // Null before the first use.
    static Process* running() noexcept { return started_.load(std::memory_order_acquire); }

    core::WatchSet& watches() noexcept { return watches_; }
    AddressSpace& memory() noexcept { return memory_; }
    Handles& handles() noexcept { return handles_; }

  private:
    Process(std::unique_ptr<backend::Backend> backend, std::string_view reason);

    static Process* start();

    static inline std::atomic<Process*> started_{nullptr};

    std::unique_ptr<backend::Backend> backend_;
    registry::Publisher publisher_{registry::Host::native_win32};
    core::WatchSet watches_;
    AddressSpace memory_;
    Handles handles_;
};

} // namespace writewatch::host
