// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/win32/status.h"

#include <cerrno>

namespace writewatch::win32 {

DWORD to_win32_error(NTSTATUS status) noexcept
{
    constexpr DWORD error_gen_failure = 31;
    constexpr DWORD error_not_supported = 50;
    constexpr DWORD error_internal_error = 1359;

    switch (status) {
    case status_success:
        return ERROR_SUCCESS;
    case status_access_violation:
        return ERROR_NOACCESS;
    case status_access_denied:
    case status_process_is_terminating:
        return ERROR_ACCESS_DENIED;
    case status_invalid_handle:
        return ERROR_INVALID_HANDLE;
    case status_info_length_mismatch:
        return ERROR_BAD_LENGTH;
    case status_invalid_parameter:
    case status_unable_to_free_vm:
    case status_invalid_page_protection:
        return ERROR_INVALID_PARAMETER;
    case status_no_memory:
        return ERROR_NOT_ENOUGH_MEMORY;
    case status_conflicting_addresses:
    case status_not_committed:
    case status_free_vm_not_at_base:
    case status_memory_not_allocated:
        return ERROR_INVALID_ADDRESS;
    case status_not_supported:
        return error_not_supported;
    case status_internal_error:
        return error_internal_error;
    default:
        return error_gen_failure;
    }
}

NTSTATUS from_errno(int error) noexcept
{
    switch (error) {
    case ENOENT:
    case EINVAL:
        return status_invalid_parameter;
    case ENOMEM:
    case EAGAIN:
    case EMFILE: // a fork's child that cannot open handles of its own
    case ENFILE:
        return status_no_memory;
    case EEXIST:
        return status_conflicting_addresses;
    case ENOTSUP:
        return status_not_supported;
    default:
        return status_internal_error;
    }
}

} // namespace writewatch::win32
