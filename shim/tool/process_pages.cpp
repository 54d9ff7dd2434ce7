// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/process_pages.h"

#include "shim/sys/sysfs.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>

namespace writewatch::tool {

namespace {

// More regions than this in one call, and walk_end may be stale (docs/kernel-interface.md).
constexpr std::size_t max_regions = 512;

class ReadOnlyDevice final : public backend::ScanDevice {
  public:
    explicit ReadOnlyDevice(const sys::Pagemap& pagemap) : pagemap_(pagemap) {}

    int scan(abi::PmScanArg& argument) noexcept override
    {
        // Whoever asks: a process that is looked at keeps what it had.
        if ((argument.flags & abi::pm_scan_wp_matching) != 0)
            return -EPERM;
        return pagemap_.scan(argument);
    }

  private:
    const sys::Pagemap& pagemap_;
};

unsigned states_of(std::uint64_t categories, backend::Mode mode)
{
    unsigned states = 0;
    if ((categories & abi::page_is_present) != 0)
        states |= page_present;
    if ((categories & abi::page_is_swapped) != 0)
        states |= page_swapped;
    if ((categories & abi::page_is_file) != 0)
        states |= page_file;
    if ((categories & abi::page_is_pfnzero) != 0)
        states |= page_zero;
    const bool only_read =
        mode == backend::Mode::on_presence && (categories & abi::page_is_pfnzero) != 0;
    if ((categories & abi::page_is_written) != 0 && !only_read)
        states |= page_written;
    return states;
}

unsigned states_of_entry(std::uint64_t entry)
{
    unsigned states = 0;
    if ((entry & sys::pagemap_present) != 0)
        states |= page_present;
    if ((entry & sys::pagemap_swapped) != 0)
        states |= page_swapped;
    if ((entry & sys::pagemap_file) != 0)
        states |= page_file;
    if ((entry & sys::pagemap_present) != 0 && (entry & sys::pagemap_exclusive) == 0)
        states |= page_elsewhere;
    return states;
}

} // namespace

ProcessPages::ProcessPages(sys::Pagemap pagemap, bool tracked_by_kernel)
    : pagemap_(std::move(pagemap)),
      zero_page_is_clean_(!sys::read_flag("/sys/kernel/mm/ksm/use_zero_pages"))
{
    // An empty range is a legal scan, and no work.
    abi::PmScanArg nothing =
        backend::page_states_query({page_size, page_size}, backend::Mode::on_presence, {});
    const int answer = pagemap_.scan(nothing);
    can_scan_ = answer != -ENOTTY && answer != -EINVAL;
    knows_written_ = tracked_by_kernel && can_scan_;
}

Result<ProcessPages> ProcessPages::open(pid_t pid, bool tracked_by_kernel)
{
    auto pagemap = sys::Pagemap::open(pid);
    if (!pagemap)
        return tl::unexpected(pagemap.error());
    return ProcessPages(std::move(*pagemap), tracked_by_kernel);
}

Result<PageRuns> ProcessPages::written(PageRange range, backend::Mode mode) const
{
    if (!knows_written_)
        return fail(ENOTSUP, "page tables do not tell what was written", range);
    ReadOnlyDevice device(pagemap_);
    backend::PageScanner scanner(device, backend::ScanQuery(zero_page_is_clean_, false));
    const auto first = scanner.skip_clean(range, mode);
    if (!first)
        return tl::unexpected(first.error());
    range.start = *first;

    PageRuns runs;
    std::array<backend::Run, max_regions> found{};
    while (!range.empty()) {
        const auto result = scanner.scan({range, mode, false, 0}, found);
        if (!result)
            return tl::unexpected(result.error());
        for (std::size_t i = 0; i < result->runs; ++i)
            append(runs, {found[i].start, found[i].end});
        range.start = result->resume;
    }
    return runs;
}

Result<void> ProcessPages::visit_states(PageRange range, backend::Mode mode,
                                        const Visitor& visit) const
{
    return can_scan_ ? visit_scanned(range, mode, visit) : visit_entries(range, 0, visit);
}

Result<void> ProcessPages::visit_scanned(PageRange range, backend::Mode mode,
                                         const Visitor& visit) const
{
    std::array<abi::PageRegion, max_regions> found{};
    while (!range.empty()) {
        abi::PmScanArg argument = backend::page_states_query(range, mode, found);
        const int answer = pagemap_.scan(argument);
        if (answer == -EINTR)
            continue;
        if (answer < 0)
            return fail(-answer, "PAGEMAP_SCAN", range);
        const auto regions = std::span(found).first(static_cast<std::size_t>(answer));
        for (const abi::PageRegion& region : regions) {
            const PageRange run{region.start, region.end};
            unsigned states = states_of(region.categories, mode);
            if (!knows_written_)
                states &= ~static_cast<unsigned>(page_written);
            // Who else has a page mapped, only its own entry says. The zero page is everybody's.
            if ((states & page_present) == 0 || (states & page_zero) != 0)
                visit(run, states);
            else if (auto ok = visit_entries(run, states, visit); !ok)
                return ok;
        }
        if (regions.size() < found.size())
            return {};
        range.start = std::max<std::uintptr_t>(argument.walk_end, regions.back().end);
    }
    return {};
}

// `known`: states of all pages of the range that their entries do not tell.
Result<void> ProcessPages::visit_entries(PageRange range, unsigned known,
                                         const Visitor& visit) const
{
    std::array<std::uint64_t, 4096> entries;
    while (!range.empty()) {
        const auto got = pagemap_.entries(range, entries);
        if (!got)
            return tl::unexpected(got.error());
        if (*got == 0)
            return fail(ESRCH, "the process has ended", range);
        PageRange run{range.start, range.start};
        unsigned run_states = 0;
        for (std::size_t i = 0; i < *got; ++i) {
            const unsigned from_entry = states_of_entry(entries[i]);
            // Between the scan and this look the page may have changed: the scan's word counts.
            const unsigned states = known != 0 ? known | (from_entry & page_elsewhere) : from_entry;
            if (states != run_states && !run.empty()) {
                if (run_states != 0)
                    visit(run, run_states);
                run.start = run.end;
            }
            run_states = states;
            run.end += page_size;
        }
        if (run_states != 0 && !run.empty())
            visit(run, run_states);
        range.start = run.end;
    }
    return {};
}

std::string describe_failure(const Error& error, pid_t pid)
{
    switch (error.code) {
    case ENOENT:
    case ESRCH:
        return fmt::format("process {} has ended", pid);
    case EACCES:
    case EPERM:
        return fmt::format("the pages of process {} may not be read ({}): that needs the right to "
                           "trace it (ptrace(2), PTRACE_MODE_READ); try as its own user or as "
                           "root: it may have changed its user, or be in a sandbox",
                           pid, std::strerror(error.code));
    default:
        return fmt::format("process {}: {}: {}", pid, error.step, std::strerror(error.code));
    }
}

} // namespace writewatch::tool
