// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/sys/result.h"

namespace writewatch::sys {

// What a range of this process's address space is mapped to.
struct Mapping {
    bool private_anonymous = true; // all of it
    bool same_protection = true;
    int protection = 0; // PROT_*; of its first page
};

// Reads /proc/self/maps (proc(5)). ENOMEM, as mprotect(2) has it, when part of the range is not
// mapped.
Result<Mapping> inspect_mapping(PageRange range) noexcept;

// The page size of the mappings in the range in bytes, from /proc/self/smaps (slow): 4096, or more
// for hugetlb. EINVAL: it differs.
Result<std::size_t> mapping_page_size(PageRange range) noexcept;

} // namespace writewatch::sys
