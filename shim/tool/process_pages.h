// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The pages of a process that is only looked at: nothing in here can reset, arm or change anything.
#pragma once

#include "shim/backend/pagemap_scan.h"
#include "shim/sys/pagemap.h"
#include "shim/tool/page_runs.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace writewatch::tool {

// What can be said of a page; several may hold.
enum PageState : std::uint8_t {
    page_written = 1 << 0,   // since its last reset: the program's next get would report it
    page_present = 1 << 1,   // in memory
    page_swapped = 1 << 2,   // swapped out, or armed and never touched
    page_zero = 1 << 3,      // reads as zeroes, was never written
    page_file = 1 << 4,      // of a file, or shared anonymous memory
    page_elsewhere = 1 << 5, // another process has it mapped, too
};
inline constexpr std::size_t page_state_bits = 6;

class ProcessPages {
  public:
    // `tracked_by_kernel`: by the backend pagemap-scan; else page tables do not tell what was
    // written. Errors: EACCES (no ptrace rights), ENOENT (no such process); describe_failure()
    // explains.
    static Result<ProcessPages> open(pid_t pid, bool tracked_by_kernel);

    // What a get would report now, but for latched pages. ESRCH: the process has ended. ENOTSUP:
    // not known (knows_written).
    Result<PageRuns> written(PageRange range, backend::Mode mode) const;

    // Calls visit(run, PageState bits) for every run of populated pages, ascending; pages that are
    // not visited were never touched. Without PAGEMAP_SCAN (Linux before 6.7) the zero page is not
    // told from others.
    using Visitor = std::function<void(PageRange, unsigned)>;
    Result<void> visit_states(PageRange range, backend::Mode mode, const Visitor& visit) const;

    // False: no page is visited as written, and written() fails.
    bool knows_written() const { return knows_written_; }

  private:
    ProcessPages(sys::Pagemap pagemap, bool tracked_by_kernel);

    Result<void> visit_scanned(PageRange range, backend::Mode mode, const Visitor& visit) const;
    Result<void> visit_entries(PageRange range, unsigned known, const Visitor& visit) const;

    sys::Pagemap pagemap_;
    bool zero_page_is_clean_;
    bool can_scan_;
    bool knows_written_;
};

// Why the pages of a process cannot be read, and what to do about it.
std::string describe_failure(const Error& error, pid_t pid);

} // namespace writewatch::tool
