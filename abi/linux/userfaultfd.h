// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The parts of the userfaultfd ABI that write tracking needs. The base (UFFDIO_* requests and their
// structs) is old enough to come from the system's own header on every distribution we build on;
// the features below are newer than Debian 12's headers and are declared here in our own words.
// Semantics: Documentation/admin-guide/mm/userfaultfd.rst, userfaultfd(2), ioctl_userfaultfd(2).
#pragma once

#include <cstdint>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

namespace writewatch::abi {

// UFFD_FEATURE_WP_UNPOPULATED (6.4): write-protecting an empty page leaves a marker in the page
// table.
inline constexpr std::uint64_t uffd_feature_wp_unpopulated = std::uint64_t{1} << 13;

// UFFD_FEATURE_WP_ASYNC (6.7): the kernel resolves write-protect faults by itself, without a
// message; the fault only drops the page's write-protect mark. Implies WP_UNPOPULATED. (Bit 16, one
// to the left, is MOVE: a widespread typing error.)
inline constexpr std::uint64_t uffd_feature_wp_async = std::uint64_t{1} << 15;

// UFFD_USER_MODE_ONLY (5.11): needs no privilege when vm.unprivileged_userfaultfd is 0. With
// WP_ASYNC, writes by the kernel on the process's behalf are tracked all the same (measured,
// docs/kernel-interface.md).
inline constexpr int uffd_user_mode_only = 1;

static_assert(uffd_feature_wp_unpopulated == 0x2000);
static_assert(uffd_feature_wp_async == 0x8000);
#ifdef UFFD_USER_MODE_ONLY
static_assert(uffd_user_mode_only == UFFD_USER_MODE_ONLY);
#endif
static_assert(sizeof(uffdio_api) == 24);
static_assert(sizeof(uffdio_range) == 16);
static_assert(sizeof(uffdio_register) == 32);
static_assert(sizeof(uffdio_writeprotect) == 24);
static_assert(UFFDIO_API == 0xC018AA3F);
static_assert(UFFDIO_REGISTER == 0xC020AA00);
static_assert(UFFDIO_UNREGISTER == 0x8010AA01);
static_assert(UFFDIO_WRITEPROTECT == 0xC018AA06);

} // namespace writewatch::abi
