// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Handles of processes, as OpenProcess gives them: each for one process, whatever becomes of its
// pid (pidfd_open(2)), with the access it was opened for.
#pragma once

#include "shim/registry/remote.h"
#include "shim/sys/fork.h"
#include "shim/sys/unique_fd.h"

#include <writewatch/win32.h>

#include <map>
#include <memory>
#include <mutex>
#include <sys/types.h>

namespace writewatch::host {

class ProcessHandle {
  public:
    ProcessHandle(pid_t pid, DWORD access, sys::UniqueFd pidfd) noexcept
        : pid_(pid), access_(access), pidfd_(std::move(pidfd))
    {}

    DWORD access() const noexcept { return access_; }
    bool is_current_process() const noexcept;

    // The process as it is now, with its watches. STATUS_PROCESS_IS_TERMINATING; what a process
    // that watches nothing is asked about is no watched memory: STATUS_INVALID_PARAMETER.
    NTSTATUS remote(std::shared_ptr<registry::RemoteProcess>& process);

  private:
    bool has_ended() const noexcept;

    pid_t pid_;
    DWORD access_;
    sys::UniqueFd pidfd_;
    std::mutex mutex_;
    std::shared_ptr<registry::RemoteProcess> remote_; // until it calls exec
};

class Handles {
  public:
    // Call once, before anything else.
    Result<void> open() noexcept { return lock_.open(); }

    NTSTATUS open_process(DWORD access, DWORD pid, HANDLE& handle);
    NTSTATUS close(HANDLE handle);
    // Null: it is not open.
    std::shared_ptr<ProcessHandle> find(HANDLE handle);

  private:
    sys::ForkPage lock_;
    std::map<std::uintptr_t, std::shared_ptr<ProcessHandle>> open_;
    std::uintptr_t last_ = 0;
};

} // namespace writewatch::host
