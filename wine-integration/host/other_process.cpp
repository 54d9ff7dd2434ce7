// SPDX-License-Identifier: LGPL-2.1-or-later
//
// From a handle to the process it means: Wine knows its Windows pid, the registry which process of
// this prefix that is.
#include "wine-integration/host/other_process.h"

#include "shim/registry/reader.h"
#include "shim/sys/signals.h"
#include "shim/win32/status.h"
#include "shim/win32/write_watch.h"
#include "wine-integration/host/state.h"

#include <array>
#include <atomic>
#include <cerrno>

namespace writewatch::wine {

namespace {

// OBJECT_INFORMATION_CLASS, PROCESSINFOCLASS: the first of each; with what Microsoft documents of
// their results.
constexpr ULONG object_basic_information = 0;
constexpr ULONG process_basic_information = 0;
struct ObjectBasicInformation {
    ULONG attributes;
    ULONG granted_access;
    std::array<ULONG, 12> rest;
};
static_assert(sizeof(ObjectBasicInformation) == 56);
struct ProcessBasicInformation {
    NTSTATUS exit_status;
    std::array<std::uint64_t, 3> rest;
    std::uint64_t unique_process_id;
    std::uint64_t parent_id;
};
static_assert(sizeof(ProcessBasicInformation) == 48);

constexpr auto status_pending = static_cast<NTSTATUS>(0x103); // exit status of a running process

NTSTATUS query(HANDLE process, ProcessBasicInformation& information) noexcept
{
    return host->wine.query_information_process(process, process_basic_information, &information,
                                                sizeof(information), nullptr);
}

// The right to ask is not among those that the program needs for write watches.
NTSTATUS query_without_right(HANDLE process, ProcessBasicInformation& information) noexcept
{
    HANDLE duplicate = nullptr;
    NTSTATUS status =
        host->wine.duplicate_object(current_process(), process, current_process(), &duplicate,
                                    PROCESS_QUERY_LIMITED_INFORMATION, 0, 0);
    if (status != win32::status_success)
        return status;
    status = query(duplicate, information);
    host->wine.close(duplicate);
    return status;
}

struct Known {
    std::uint32_t windows_pid;
    registry::RemoteProcess* process;
    Known* next;
};
std::atomic<Known*> known{nullptr}; // grows at its head, by those that were asked about

registry::RemoteProcess* find_known(std::uint32_t windows_pid) noexcept
{
    for (const Known* each = known.load(std::memory_order_acquire); each != nullptr;
         each = each->next) {
        if (each->windows_pid == windows_pid && each->process->alive())
            return each->process;
    }
    return nullptr;
}

// Null with ENOENT: none of the prefix's processes with that pid publishes anything.
Result<registry::RemoteProcess*> attach(std::uint32_t windows_pid) noexcept
{
    try {
        const auto listing = registry::list();
        if (!listing)
            return fail(ENOENT, "there is no registry");
        registry::WindowsIdentity own;
        identify_process(own);
        for (const registry::ProcessInfo& info : listing->processes) {
            if (info.host != registry::Host::wine || info.windows_pid != windows_pid ||
                info.prefix_inode != own.prefix_inode || info.prefix_device != own.prefix_device)
                continue;
            auto attached = registry::RemoteProcess::attach(info.pid);
            if (!attached)
                return tl::unexpected(attached.error());
            auto* const entry = new Known{windows_pid, attached->release(), nullptr};
            entry->next = known.load(std::memory_order_relaxed);
            while (!known.compare_exchange_weak(entry->next, entry, std::memory_order_acq_rel)) {
            }
            return entry->process;
        }
        return fail(ENOENT, "the process publishes nothing");
    } catch (...) {
        return fail(ENOMEM, "find another process");
    }
}

[[gnu::noinline]] Target find(HANDLE process) noexcept
{
    Target target;
    const NTSTATUS same = host->wine.compare_objects(process, current_process());
    if (same != status_not_same_object) {
        target.status = same;
        return target;
    }
    target.other = true;
    ObjectBasicInformation object{};
    target.status = host->wine.query_object(process, object_basic_information, &object,
                                            sizeof(object), nullptr);
    if (target.status != win32::status_success)
        return target;
    target.access = object.granted_access;
    ProcessBasicInformation information{};
    target.status = query(process, information);
    if (target.status == win32::status_access_denied)
        target.status = query_without_right(process, information);
    if (target.status != win32::status_success)
        return target;
    if (information.exit_status != status_pending) {
        target.status = win32::status_process_is_terminating;
        return target;
    }
    const auto windows_pid = static_cast<std::uint32_t>(information.unique_process_id);
    target.remote = find_known(windows_pid);
    if (target.remote != nullptr)
        return target;
    const auto attached = attach(windows_pid);
    if (attached)
        target.remote = *attached;
    else if (attached.error().code != ENOENT && attached.error().code != ESRCH)
        target.status = win32::from_remote_errno(attached.error().code);
    return target;
}

} // namespace

Target find_target(HANDLE process) noexcept
{
    return sys::uninterrupted([&] { return find(process); });
}

} // namespace writewatch::wine
