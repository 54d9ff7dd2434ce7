// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The PAGEMAP_SCAN ioctl of /proc/PID/pagemap (Linux 6.7, include/uapi/linux/fs.h), declared in our
// own words: Debian 12's kernel headers do not have it, and an `#ifdef PAGEMAP_SCAN` would build
// the feature out without a word. tests/abi compares this file with newer headers where installed.
// The types have names of our own, since newer headers put theirs into the global namespace.
// Semantics: Documentation/admin-guide/mm/pagemap.rst; edges: docs/kernel-interface.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <sys/ioctl.h>

namespace writewatch::abi {

// struct page_region: one run of adjacent pages with the same (masked) categories. `end` is
// exclusive.
struct PageRegion {
    std::uint64_t start;
    std::uint64_t end;
    std::uint64_t categories;
};

// struct pm_scan_arg
struct PmScanArg {
    std::uint64_t size;     // of this struct, exactly
    std::uint64_t flags;    // pm_scan_*
    std::uint64_t start;    // page-aligned
    std::uint64_t end;      // rounded up to a page by the kernel
    std::uint64_t walk_end; // out: where the walk stopped
    std::uint64_t vec;      // address of PageRegion[vec_len], or 0
    std::uint64_t vec_len;
    std::uint64_t max_pages; // 0: no limit
    std::uint64_t category_inverted;
    std::uint64_t category_mask;
    std::uint64_t category_anyof_mask;
    std::uint64_t return_mask;
};

static_assert(sizeof(PageRegion) == 24);
static_assert(offsetof(PageRegion, start) == 0);
static_assert(offsetof(PageRegion, end) == 8);
static_assert(offsetof(PageRegion, categories) == 16);

static_assert(sizeof(PmScanArg) == 96);
static_assert(offsetof(PmScanArg, size) == 0);
static_assert(offsetof(PmScanArg, flags) == 8);
static_assert(offsetof(PmScanArg, start) == 16);
static_assert(offsetof(PmScanArg, end) == 24);
static_assert(offsetof(PmScanArg, walk_end) == 32);
static_assert(offsetof(PmScanArg, vec) == 40);
static_assert(offsetof(PmScanArg, vec_len) == 48);
static_assert(offsetof(PmScanArg, max_pages) == 56);
static_assert(offsetof(PmScanArg, category_inverted) == 64);
static_assert(offsetof(PmScanArg, category_mask) == 72);
static_assert(offsetof(PmScanArg, category_anyof_mask) == 80);
static_assert(offsetof(PmScanArg, return_mask) == 88);

// PAGEMAP_SCAN
inline constexpr unsigned long pagemap_scan_request = _IOWR('f', 16, PmScanArg);
static_assert(pagemap_scan_request == 0xC0606610);

// PmScanArg::flags
inline constexpr std::uint64_t pm_scan_wp_matching = 1u << 0;   // PM_SCAN_WP_MATCHING
inline constexpr std::uint64_t pm_scan_check_wpasync = 1u << 1; // PM_SCAN_CHECK_WPASYNC

// Page categories: Linux 6.7 ...
inline constexpr std::uint64_t page_is_wpallowed = 1u << 0;
inline constexpr std::uint64_t page_is_written = 1u << 1;
inline constexpr std::uint64_t page_is_file = 1u << 2;
inline constexpr std::uint64_t page_is_present = 1u << 3;
inline constexpr std::uint64_t page_is_swapped = 1u << 4;
inline constexpr std::uint64_t page_is_pfnzero = 1u << 5;
inline constexpr std::uint64_t page_is_huge = 1u << 6;
// ... and later: a kernel that does not know a bit answers EINVAL.
inline constexpr std::uint64_t page_is_soft_dirty = 1u << 7; // 6.8
inline constexpr std::uint64_t page_is_guard = 1u << 8;      // after 6.12

static_assert(page_is_written == 0x02 && page_is_file == 0x04 && page_is_present == 0x08);
static_assert(page_is_swapped == 0x10 && page_is_pfnzero == 0x20 && page_is_huge == 0x40);
static_assert(page_is_soft_dirty == 0x80 && page_is_guard == 0x100);

} // namespace writewatch::abi
