// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/host/handles.h"

#include "shim/sys/process.h"
#include "shim/sys/signals.h"
#include "shim/win32/status.h"
#include "shim/win32/write_watch.h"

#include <cerrno>

namespace writewatch::host {

using namespace win32;

bool ProcessHandle::is_current_process() const noexcept
{
    return pid_ == sys::own_pid();
}

bool ProcessHandle::has_ended() const noexcept
{
    return sys::has_ended(pidfd_.get());
}

NTSTATUS ProcessHandle::remote(std::shared_ptr<registry::RemoteProcess>& process)
{
    const sys::SignalBlock signals;
    const std::scoped_lock lock(mutex_);
    if (has_ended())
        return status_process_is_terminating;
    if (remote_ && !remote_->alive())
        remote_.reset(); // exec: its watches are gone, and it may make others
    if (!remote_) {
        auto attached = registry::RemoteProcess::attach(pid_);
        // While it lives its pid is not another's, so that is whom we attached to.
        if (has_ended())
            return status_process_is_terminating;
        if (!attached)
            return attached.error().code == ENOENT ? status_invalid_parameter
                                                   : from_remote_errno(attached.error().code);
        remote_ = std::move(*attached);
    }
    process = remote_;
    return status_success;
}

NTSTATUS Handles::open_process(DWORD access, DWORD pid, HANDLE& handle)
{
    auto pidfd = sys::open_process(static_cast<pid_t>(pid));
    if (!pidfd)
        return pidfd.error().code == ESRCH || pidfd.error().code == EINVAL
                   ? status_invalid_parameter
                   : from_remote_errno(pidfd.error().code);
    // The right that everything else will need.
    if (const auto pagemap = sys::Pagemap::open(static_cast<pid_t>(pid)); !pagemap)
        return pagemap.error().code == ESRCH ? status_invalid_parameter
                                             : from_remote_errno(pagemap.error().code);
    auto made = std::make_shared<ProcessHandle>(static_cast<pid_t>(pid), access, std::move(*pidfd));
    const sys::ForkPageLock lock(lock_);
    last_ += 4; // as Windows': multiples of 4; not used again, so that a stale one is found out
    open_.emplace(last_, std::move(made));
    handle = reinterpret_cast<HANDLE>(last_); // NOLINT(performance-no-int-to-ptr)
    return status_success;
}

NTSTATUS Handles::close(HANDLE handle)
{
    std::shared_ptr<ProcessHandle> closed; // destroyed after the lock is released
    const sys::ForkPageLock lock(lock_);
    const auto found = open_.find(reinterpret_cast<std::uintptr_t>(handle));
    if (found == open_.end())
        return status_invalid_handle;
    closed = std::move(found->second);
    open_.erase(found);
    return status_success;
}

std::shared_ptr<ProcessHandle> Handles::find(HANDLE handle)
{
    const sys::ForkPageLock lock(lock_);
    const auto found = open_.find(reinterpret_cast<std::uintptr_t>(handle));
    return found == open_.end() ? nullptr : found->second;
}

} // namespace writewatch::host
