// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The protection of this process's mappings, as the kernel tells it. Allocates nothing.
#pragma once

#include "shim/sys/page.h"
#include "shim/sys/result.h"

namespace writewatch::sys {

// PROT_* of the mapping that contains the whole range (/proc/self/maps). ENOENT: there is none.
Result<int> protection_of(PageRange range) noexcept;

} // namespace writewatch::sys
