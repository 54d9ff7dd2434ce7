// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The NTSTATUS values that our functions answer, and the one place where they become Win32 error
// codes and errno values become statuses.
#pragma once

#include <writewatch/win32.h>

namespace writewatch::win32 {

inline constexpr auto status_success = NTSTATUS{0};
inline constexpr auto status_access_violation = static_cast<NTSTATUS>(0xC0000005);
inline constexpr auto status_invalid_handle = static_cast<NTSTATUS>(0xC0000008);
inline constexpr auto status_invalid_parameter = static_cast<NTSTATUS>(0xC000000D);
inline constexpr auto status_no_memory = static_cast<NTSTATUS>(0xC0000017);
inline constexpr auto status_access_denied = static_cast<NTSTATUS>(0xC0000022);
inline constexpr auto status_process_is_terminating = static_cast<NTSTATUS>(0xC000010A);
inline constexpr auto status_conflicting_addresses = static_cast<NTSTATUS>(0xC0000018);
inline constexpr auto status_unable_to_free_vm = static_cast<NTSTATUS>(0xC000001A);
inline constexpr auto status_not_committed = static_cast<NTSTATUS>(0xC000002D);
inline constexpr auto status_invalid_page_protection = static_cast<NTSTATUS>(0xC0000045);
inline constexpr auto status_free_vm_not_at_base = static_cast<NTSTATUS>(0xC000009F);
inline constexpr auto status_memory_not_allocated = static_cast<NTSTATUS>(0xC00000A0);
inline constexpr auto status_not_supported = static_cast<NTSTATUS>(0xC00000BB);
inline constexpr auto status_info_length_mismatch = static_cast<NTSTATUS>(0xC0000004);
inline constexpr auto status_internal_error = static_cast<NTSTATUS>(0xC00000E5);

// What kernel32 makes of a status (RtlNtStatusToDosError).
DWORD to_win32_error(NTSTATUS status) noexcept;

// The status for a failed step below Windows: out of memory is STATUS_NO_MEMORY, a range that is
// not in one watched region is STATUS_INVALID_PARAMETER.
NTSTATUS from_errno(int error) noexcept;

} // namespace writewatch::win32
