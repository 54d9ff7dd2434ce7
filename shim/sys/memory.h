// SPDX-License-Identifier: LGPL-2.1-or-later
//
// mmap(2) and its relatives for whole pages, with errors that say which range.
#pragma once

#include "shim/sys/result.h"

#include <optional>

namespace writewatch::sys {

// Private anonymous memory anywhere, without a charge against the commit limit.
Result<PageRange> map_anonymous(std::size_t bytes, int protection) noexcept;

// The same at a fixed place; EEXIST when anything is mapped there.
Result<PageRange> map_anonymous_at(PageRange range, int protection) noexcept;

Result<void> unmap(PageRange range) noexcept;
Result<void> protect(PageRange range, int protection) noexcept;
Result<void> advise(PageRange range, int advice) noexcept;

// Empties pages, also where the process has all of its memory locked (mlockall with MCL_FUTURE),
// which populates each new mapping.
Result<void> empty(PageRange range) noexcept;

// Whether anything is mapped at one page.
bool is_mapped(PageRange page) noexcept;

} // namespace writewatch::sys
