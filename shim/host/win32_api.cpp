// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/host/win32_api.h"

#include "shim/host/process.h"
#include "shim/sys/signals.h"
#include "shim/win32/status.h"
#include "shim/win32/write_watch.h"

#include <new>

namespace writewatch::host {

namespace {

using namespace win32;

thread_local DWORD last_error = ERROR_SUCCESS;

// kernel32's way: the status as last error; a success leaves the last error alone.
bool succeeded(NTSTATUS status) noexcept
{
    if (status == status_success)
        return true;
    last_error = to_win32_error(status);
    return false;
}

// The address space's records are on the heap. A function of its own: it has an exception table,
// and what calls it must not (sys::uninterrupted).
template<typename Action>
[[gnu::noinline]] NTSTATUS without_exceptions(const Action& action) noexcept
{
    try {
        return action();
    } catch (const std::bad_alloc&) {
        return status_no_memory;
    } catch (...) {
        return status_internal_error;
    }
}

template<typename Action> NTSTATUS uninterrupted(const Action& action) noexcept
{
    return sys::uninterrupted([&] { return without_exceptions(action); });
}

// Null: out of memory.
Process* this_process() noexcept
{
    if (Process::running() == nullptr) [[unlikely]] {
        (void)uninterrupted([] {
            Process::instance();
            return status_success;
        });
    }
    return Process::running();
}

// `action` gets the watch set of this process, or another process.
template<typename May, typename Action>
NTSTATUS about_process(HANDLE process, May may, Action action) noexcept
{
    if (process != NtCurrentProcess()) {
        bool is_own = false;
        const NTSTATUS status = uninterrupted([&] {
            const auto target = Process::instance().handles().find(process);
            if (!target)
                return status_invalid_handle;
            if (!may(target->access()))
                return status_access_denied;
            is_own = target->is_current_process();
            if (is_own)
                return status_success;
            std::shared_ptr<registry::RemoteProcess> remote;
            if (const NTSTATUS attached = target->remote(remote); attached != status_success)
                return attached;
            return action(*remote);
        });
        if (!is_own)
            return status;
    }
    Process* const own = this_process();
    return own != nullptr ? action(own->watches()) : status_no_memory;
}

} // namespace

NTSTATUS nt_get_write_watch(HANDLE process, ULONG flags, void* base, SIZE_T size, void** addresses,
                            ULONG_PTR* count, ULONG* granularity) noexcept
{
    return about_process(
        process, [&](ULONG access) { return may_get(access, flags); },
        [&](auto& watches) {
            return win32::get_write_watch(watches, flags, base, size, addresses, count,
                                          granularity);
        });
}

NTSTATUS nt_reset_write_watch(HANDLE process, void* base, SIZE_T size) noexcept
{
    return about_process(process, may_reset, [&](auto& watches) {
        return win32::reset_write_watch(watches, base, size);
    });
}

UINT get_write_watch(DWORD flags, void* base, SIZE_T size, void** addresses, ULONG_PTR* count,
                     ULONG* granularity) noexcept
{
    return succeeded(nt_get_write_watch(NtCurrentProcess(), flags, base, size, addresses, count,
                                        granularity))
               ? 0
               : ~0U;
}

UINT reset_write_watch(void* base, SIZE_T size) noexcept
{
    return succeeded(nt_reset_write_watch(NtCurrentProcess(), base, size)) ? 0 : ~0U;
}

void* virtual_alloc(void* base, SIZE_T size, DWORD type, DWORD protect) noexcept
{
    const NTSTATUS status = uninterrupted(
        [&] { return Process::instance().memory().allocate(base, size, type, protect); });
    return succeeded(status) ? base : nullptr;
}

BOOL virtual_free(void* base, SIZE_T size, DWORD type) noexcept
{
    const NTSTATUS status = uninterrupted([&] {
        // kernel32's own check, before the system call
        if ((type & MEM_RELEASE) != 0 && size != 0)
            return status_invalid_parameter;
        return Process::instance().memory().free(base, size, type);
    });
    return succeeded(status) ? TRUE : FALSE;
}

BOOL virtual_protect(void* base, SIZE_T size, DWORD protect, DWORD* old_protect) noexcept
{
    const NTSTATUS status = uninterrupted([&]() -> NTSTATUS {
        if (old_protect == nullptr)
            return status_access_violation;
        ULONG before = *old_protect;
        const NTSTATUS done = Process::instance().memory().protect(base, size, protect, before);
        if (done == status_success)
            *old_protect = before;
        return done;
    });
    return succeeded(status) ? TRUE : FALSE;
}

SIZE_T virtual_query(const void* address, MEMORY_BASIC_INFORMATION* info, SIZE_T length) noexcept
{
    const NTSTATUS status = uninterrupted([&]() -> NTSTATUS {
        if (reinterpret_cast<std::uintptr_t>(address) >= address_space_end)
            return status_invalid_parameter;
        if (length < sizeof(*info))
            return status_info_length_mismatch;
        if (info == nullptr)
            return status_access_violation;
        MEMORY_BASIC_INFORMATION answer;
        Process::instance().memory().query(address, answer);
        *info = answer;
        return status_success;
    });
    return succeeded(status) ? sizeof(*info) : 0;
}

HANDLE open_process(DWORD access, DWORD pid) noexcept
{
    HANDLE handle = nullptr;
    const NTSTATUS status = uninterrupted(
        [&] { return Process::instance().handles().open_process(access, pid, handle); });
    return succeeded(status) ? handle : nullptr;
}

BOOL close_handle(HANDLE handle) noexcept
{
    const NTSTATUS status =
        uninterrupted([&] { return Process::instance().handles().close(handle); });
    return succeeded(status) ? TRUE : FALSE;
}

DWORD get_last_error() noexcept
{
    return last_error;
}

void set_last_error(DWORD error) noexcept
{
    last_error = error;
}

} // namespace writewatch::host
