// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/host/process.h"

#include "shim/backend/select.h"
#include "shim/backend/unavailable.h"
#include "shim/sys/log.h"
#include "shim/sys/release.h"
#include "shim/sys/signals.h"

#include <new>

namespace writewatch::host {

Process::Process(std::unique_ptr<backend::Backend> backend, std::string_view reason)
    : backend_(std::move(backend)), watches_(*backend_, publisher_.open_if_enabled()),
      memory_(watches_)
{
    publisher_.set_backend(backend_->name(), reason);
    auto ok = watches_.open();
    if (ok)
        ok = memory_.open();
    if (ok)
        ok = handles_.open();
    if (!ok) {
        log::error("host", "cannot start: {}", describe(ok.error()));
        watches_.close();
        throw std::bad_alloc();
    }
}

Process* Process::start()
{
    // The memory is ours: nobody replaces its mappings behind our back.
    backend::Selection selection =
        backend::select_by_environment({.check_registration = false, .drops_are_told = true});
    if (selection.backend) {
        log::info("select", "{} (native, kernel {}{}{})", selection.backend->name(),
                  sys::kernel_release(), selection.reason.empty() ? "" : "; ", selection.reason);
    } else {
        log::error("select", "no backend, MEM_WRITE_WATCH will fail: {}", selection.reason);
        selection.backend = std::make_unique<backend::Unavailable>();
    }
    return new Process(std::move(selection.backend), selection.reason);
}

Process& Process::instance()
{
    if (Process* const process = running(); process != nullptr)
        return *process;
    // A thread suspended while it starts would keep all others waiting.
    const sys::SignalBlock block;
    static Process* const process = start();
    started_.store(process, std::memory_order_release);
    return *process;
}

} // namespace writewatch::host
