// SPDX-License-Identifier: LGPL-2.1-or-later
//
// abi/linux/ against the system's own kernel headers, for whatever those have: compiling this file
// is the comparison. Debian 12's headers (6.1) have none of it, Debian 13's (6.12) nearly all: at
// run time the program says which names could not be compared, and is skipped when that is all of
// them.
#include "abi/linux/pagemap_scan.h"
#include "abi/linux/userfaultfd.h"

#include <cstdio>
#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <type_traits>
#include <vector>

namespace ours = writewatch::abi;

namespace {

std::vector<const char*> missing;
int compared = 0;

} // namespace

#ifdef PAGEMAP_SCAN
static_assert(ours::pagemap_scan_request == PAGEMAP_SCAN);
static_assert(sizeof(ours::PageRegion) == sizeof(::page_region));
static_assert(offsetof(ours::PageRegion, start) == offsetof(::page_region, start));
static_assert(offsetof(ours::PageRegion, end) == offsetof(::page_region, end));
static_assert(offsetof(ours::PageRegion, categories) == offsetof(::page_region, categories));
static_assert(sizeof(ours::PmScanArg) == sizeof(::pm_scan_arg));
#define SAME_FIELD(field)                                                                          \
    static_assert(offsetof(ours::PmScanArg, field) == offsetof(::pm_scan_arg, field) &&            \
                  sizeof(ours::PmScanArg::field) == sizeof(::pm_scan_arg::field) &&                \
                  std::is_unsigned_v<decltype(::pm_scan_arg::field)>)
SAME_FIELD(size);
SAME_FIELD(flags);
SAME_FIELD(start);
SAME_FIELD(end);
SAME_FIELD(walk_end);
SAME_FIELD(vec);
SAME_FIELD(vec_len);
SAME_FIELD(max_pages);
SAME_FIELD(category_inverted);
SAME_FIELD(category_mask);
SAME_FIELD(category_anyof_mask);
SAME_FIELD(return_mask);
static_assert(ours::pm_scan_wp_matching == PM_SCAN_WP_MATCHING);
static_assert(ours::pm_scan_check_wpasync == PM_SCAN_CHECK_WPASYNC);
static_assert(ours::page_is_wpallowed == PAGE_IS_WPALLOWED);
static_assert(ours::page_is_written == PAGE_IS_WRITTEN);
static_assert(ours::page_is_file == PAGE_IS_FILE);
static_assert(ours::page_is_present == PAGE_IS_PRESENT);
static_assert(ours::page_is_swapped == PAGE_IS_SWAPPED);
static_assert(ours::page_is_pfnzero == PAGE_IS_PFNZERO);
static_assert(ours::page_is_huge == PAGE_IS_HUGE);
#endif
#ifdef PAGE_IS_SOFT_DIRTY
static_assert(ours::page_is_soft_dirty == PAGE_IS_SOFT_DIRTY);
#endif
#ifdef PAGE_IS_GUARD
static_assert(ours::page_is_guard == PAGE_IS_GUARD);
#endif
#ifdef UFFD_FEATURE_WP_UNPOPULATED
static_assert(ours::uffd_feature_wp_unpopulated == UFFD_FEATURE_WP_UNPOPULATED);
#endif
#ifdef UFFD_FEATURE_WP_ASYNC
static_assert(ours::uffd_feature_wp_async == UFFD_FEATURE_WP_ASYNC);
#endif
#ifdef UFFD_USER_MODE_ONLY
static_assert(ours::uffd_user_mode_only == UFFD_USER_MODE_ONLY);
#endif

int main()
{
#ifdef PAGEMAP_SCAN
    ++compared;
#else
    missing.push_back("PAGEMAP_SCAN");
#endif
#ifdef PAGE_IS_SOFT_DIRTY
    ++compared;
#else
    missing.push_back("PAGE_IS_SOFT_DIRTY");
#endif
#ifdef PAGE_IS_GUARD
    ++compared;
#else
    missing.push_back("PAGE_IS_GUARD");
#endif
#ifdef UFFD_FEATURE_WP_UNPOPULATED
    ++compared;
#else
    missing.push_back("UFFD_FEATURE_WP_UNPOPULATED");
#endif
#ifdef UFFD_FEATURE_WP_ASYNC
    ++compared;
#else
    missing.push_back("UFFD_FEATURE_WP_ASYNC");
#endif
    for (const char* name : missing)
        std::fprintf(stderr, "not in this system's kernel headers, not compared: %s\n", name);
    if (compared == 0) {
        std::fputs("skipped: the kernel headers are older than everything in abi/linux\n", stderr);
        return 77;
    }
    std::printf("compared %d groups\n", compared);
    return 0;
}
