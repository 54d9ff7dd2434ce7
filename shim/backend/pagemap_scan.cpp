// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/backend/pagemap_scan.h"

#include "shim/sys/memory.h"
#include "shim/sys/sysfs.h"

#include <algorithm>
#include <cerrno>
#include <new>
#include <sys/mman.h>

namespace writewatch::backend {

namespace {

// A scan of more than this many regions may return a stale walk_end (docs/kernel-interface.md). It
// is also the most that the kernel copies out per hold of the mmap lock.
constexpr std::size_t max_vector = 512;

// Below this, asking the fast path first costs more than it can save: a call is 0.5 µs, the masks
// cost 1.2 ns a page (docs/performance.md).
constexpr std::size_t min_skip_pages = 2048;

// Below this, it does not matter which masks a scan uses.
constexpr std::size_t min_armed_pages = 256;

// Runs and the kernel's regions are the same words.
static_assert(sizeof(Run) == sizeof(abi::PageRegion));
static_assert(offsetof(Run, start) == offsetof(abi::PageRegion, start));
static_assert(offsetof(Run, end) == offsetof(abi::PageRegion, end));

void set_vector(abi::PmScanArg& argument, std::span<Run> out) noexcept
{
    argument.vec = reinterpret_cast<std::uintptr_t>(out.data());
    argument.vec_len = out.size();
}

std::size_t count_filled(std::span<const Run> out) noexcept
{
    const auto empty =
        std::find_if(out.begin(), out.end(), [](const Run& run) { return run.end == 0; });
    return static_cast<std::size_t>(empty - out.begin());
}

std::size_t count_pages(std::span<const Run> runs) noexcept
{
    std::size_t pages = 0;
    for (const Run& run : runs)
        pages += (run.end - run.start) >> page_shift;
    return pages;
}

} // namespace

abi::PmScanArg ScanQuery::maybe_written(PageRange range) const noexcept
{
    abi::PmScanArg argument{};
    argument.size = sizeof(argument);
    argument.flags = check_registration_ ? abi::pm_scan_check_wpasync : 0;
    argument.start = range.start;
    argument.end = range.end;
    argument.category_mask = abi::page_is_written;
    argument.return_mask = abi::page_is_written;
    return argument;
}

abi::PmScanArg huge_pages_query(PageRange range, std::span<Run> out) noexcept
{
    abi::PmScanArg argument{};
    argument.size = sizeof(argument);
    argument.start = range.start;
    argument.end = range.end;
    argument.category_mask = abi::page_is_huge;
    argument.return_mask = abi::page_is_huge;
    set_vector(argument, out);
    return argument;
}

abi::PmScanArg page_states_query(PageRange range, Mode mode,
                                 std::span<abi::PageRegion> out) noexcept
{
    abi::PmScanArg argument{};
    argument.size = sizeof(argument);
    argument.start = range.start;
    argument.end = range.end;
    argument.category_anyof_mask = abi::page_is_present | abi::page_is_swapped;
    if (mode != Mode::on_presence)
        argument.category_anyof_mask |= abi::page_is_written;
    argument.return_mask = abi::page_is_written | abi::page_is_file | abi::page_is_present |
                           abi::page_is_swapped | abi::page_is_pfnzero | abi::page_is_huge;
    argument.vec = reinterpret_cast<std::uintptr_t>(out.data());
    argument.vec_len = out.size();
    return argument;
}

abi::PmScanArg ScanQuery::written(PageRange range, Mode mode, Action action) const noexcept
{
    abi::PmScanArg argument = maybe_written(range);
    if (action == Action::reset)
        argument.flags |= abi::pm_scan_wp_matching;
    if (mode == Mode::on_presence) {
        // Written, populated, and not by a read: what was never populated needs no arming to read
        // as clean. SWAPPED beside PRESENT, or pages that were swapped out would be lost.
        argument.category_anyof_mask = abi::page_is_present | abi::page_is_swapped;
        if (zero_page_is_clean_) {
            argument.category_mask |= abi::page_is_pfnzero;
            argument.category_inverted = abi::page_is_pfnzero;
        }
    }
    return argument;
}

bool PageScanner::asks_armed_map(PageRange range, Mode mode) const noexcept
{
    return armed_ != nullptr && mode == Mode::on_presence && range.pages() >= min_armed_pages;
}

Result<std::uintptr_t> PageScanner::skip_clean(PageRange range, Mode mode) noexcept
{
    if (mode != Mode::on_presence || range.pages() < min_skip_pages)
        return range.start;
    if (asks_armed_map(range, mode) && armed_->begins_armed(range))
        return range.start; // the scan proper is on the fast path
    Run first{};
    abi::PmScanArg argument = query_.maybe_written(range);
    set_vector(argument, {&first, 1});
    // One page is enough: the region would otherwise grow over all written pages that follow.
    argument.max_pages = 1;
    const int found = device_.scan(argument);
    if (found == 0)
        return range.end;
    if (found == 1 && range.contains(first.start))
        return page_floor(first.start);
    return range.start; // the scan proper will say what is wrong
}

Result<ScanResult> PageScanner::scan(const ScanRequest& request, std::span<Run> out) noexcept
{
    const std::uintptr_t start = request.range.start;
    std::uintptr_t end = request.range.end;
    Mode mode = request.mode;
    ArmedMap::Ticket ticket = 0;
    const bool asks = asks_armed_map({start, end}, mode);
    const bool learns = asks && request.reset;
    if (asks) {
        ticket = armed_->ticket();
        const ArmedMap::Part part = armed_->first_part({start, end});
        end = part.end;
        if (part.armed)
            mode = Mode::armed;
    }
    const std::size_t limit = std::min((end - start) >> page_shift, max_vector);
    const std::size_t most = request.max_pages == 0 ? limit : std::min(limit, request.max_pages);
    out = out.first(std::min(out.size(), most));

    // Should the call fail after it has reset pages, these tell which: the kernel copies out what
    // it has before it returns an error, but not their number.
    if (request.reset) {
        for (Run& run : out)
            run.end = 0;
    }

    for (;;) {
        abi::PmScanArg argument = query_.written(
            {start, end}, mode, request.reset ? ScanQuery::Action::reset : ScanQuery::Action::read);
        set_vector(argument, out);
        argument.max_pages = request.mode == Mode::armed_huge ? 0 : request.max_pages;

        const int answer = device_.scan(argument);
        if (answer < 0) {
            const std::size_t consumed = request.reset ? count_filled(out) : 0;
            if (consumed > 0)
                return ScanResult{consumed, out[consumed - 1].end};
            if (answer == -EINTR)
                continue;
            return fail(-answer, "PAGEMAP_SCAN", {start, end});
        }

        const auto found = static_cast<std::size_t>(answer);
        if (found > out.size()) [[unlikely]] { // what a reset did is then unknown: it may be all
            if (!request.reset)
                return fail(EIO, "PAGEMAP_SCAN returned more regions than asked for", {start, end});
            out[0] = {start, end, abi::page_is_written};
            return ScanResult{1, end};
        }
        if (learns) {
            for (const Run& run : out.first(found)) {
                // Whatever it answered: nothing beyond what was asked about.
                if (run.end - run.start >= ArmedMap::unit_bytes)
                    armed_->add(PageRange{start, end}.intersect({run.start, run.end}), ticket);
            }
        }
        // walk_end counts only where the vector or the limit ended the scan: elsewhere it may be
        // stale.
        const bool cut =
            found == out.size() ||
            (argument.max_pages != 0 && count_pages(out.first(found)) >= argument.max_pages);
        if (!cut)
            return ScanResult{found, end};
        // Never back to what was just returned, whatever the kernel says: that would be a loop. Nor
        // beyond the range, which would skip the rest of it.
        const std::uintptr_t seen = found > 0 ? out[found - 1].end : start;
        const bool sane = argument.walk_end >= seen && argument.walk_end <= end;
        const std::uintptr_t resume = sane ? argument.walk_end : seen;
        if (resume <= start)
            return fail(EIO, "PAGEMAP_SCAN made no progress", {start, end});
        return ScanResult{found, resume};
    }
}

Result<void> PageScanner::reset(PageRange range, Mode mode) noexcept
{
    const auto first = skip_clean(range, mode);
    if (!first)
        return tl::unexpected(first.error());
    range.start = *first;
    if (range.empty())
        return {};
    for (;;) {
        // Without a vector the kernel arms whatever has a page table in one pass: a fifth cheaper
        // than a scan with results. An untouched page beside touched ones gets a marker, which
        // reads as clean.
        abi::PmScanArg argument = query_.written(range, mode, ScanQuery::Action::reset);
        const int answer = device_.scan(argument);
        if (answer >= 0)
            return {};
        if (answer != -EINTR)
            return fail(-answer, "PAGEMAP_SCAN", range);
    }
}

Result<std::unique_ptr<PagemapScan>> PagemapScan::open(PagemapScanOptions options) noexcept
{
    auto userfaultfd = sys::Userfaultfd::open();
    if (!userfaultfd)
        return tl::unexpected(userfaultfd.error());
    auto pagemap = sys::Pagemap::open();
    if (!pagemap)
        return tl::unexpected(pagemap.error());

    const bool ksm_uses_zero_page = sys::read_flag("/sys/kernel/mm/ksm/use_zero_pages");
    std::unique_ptr<PagemapScan> backend(new (std::nothrow) PagemapScan(
        std::move(*userfaultfd), std::move(*pagemap),
        ScanQuery(!ksm_uses_zero_page, options.check_registration), options.drops_are_told));
    if (backend == nullptr)
        return fail(ENOMEM, "allocate the backend");
    if (options.drops_are_told) {
        if (auto ok = backend->armed_.open(); !ok)
            return tl::unexpected(ok.error());
    }
    return backend;
}

void PagemapScan::dropped(PageRange range) noexcept
{
    if (drops_are_told_)
        armed_.remove(range);
}

Result<void> PagemapScan::track(const TrackRequest& request) noexcept
{
    if (drops_are_told_) {
        armed_.remove(request.range);
        (void)armed_.reserve(request.range); // without memory for it: slower
    }
    if (request.mode == Mode::on_presence) {
        // EINVAL: the kernel has no such thing. ENOMEM when tracking is repaired: there is a hole,
        // and the rest was advised (madvise(2)); had a mapping to be split and could not, the
        // registration fails for the same reason.
        const auto advise = [&](int advice) {
            auto ok = sys::advise(request.range, advice);
            if (!ok && (ok.error().code == EINVAL ||
                        (ok.error().code == ENOMEM && request.contents == Contents::written)))
                return Result<void>();
            return ok;
        };
        // One write to a huge page would report 512 pages.
        if (auto ok = advise(MADV_NOHUGEPAGE); !ok)
            return ok;
        // KSM could merge a written page of zeroes into the zero page, which reads as clean; a
        // whole process can be opted in (PR_SET_MEMORY_MERGE).
        if (auto ok = advise(MADV_UNMERGEABLE); !ok)
            return ok;
    }
    if (auto ok = userfaultfd_.register_range(request.range); !ok)
        return ok;
    auto ok = make_clean(request);
    // Only what was not tracked before may be left so.
    if (!ok && request.contents == Contents::clean)
        (void)untrack(request.range, request.mode);
    return ok;
}

// As far as it is not by itself, once registered.
Result<void> PagemapScan::make_clean(const TrackRequest& request) noexcept
{
    if (request.contents == Contents::written)
        return {};
    if (request.mode != Mode::on_presence)
        return userfaultfd_.write_protect(request.range);
    if (request.contents == Contents::empty)
        return {};
    return scanner_.reset(request.range, request.mode);
}

Result<void> PagemapScan::untrack(PageRange range, Mode) noexcept
{
    dropped(range);
    auto ok = userfaultfd_.unregister_range(range);
    if (!ok && ok.error().code == EINVAL)
        return {}; // nothing is mapped there any more; the registration went with it
    return ok;
}

Result<std::uintptr_t> PagemapScan::skip_clean(PageRange range, Mode mode) noexcept
{
    return scanner_.skip_clean(range, mode);
}

Result<ScanResult> PagemapScan::scan(const ScanRequest& request, std::span<Run> out) noexcept
{
    return scanner_.scan(request, out);
}

Result<void> PagemapScan::reset(PageRange range, Mode mode) noexcept
{
    return scanner_.reset(range, mode);
}

Result<void> PagemapScan::protect(PageRange range, int protection) noexcept
{
    // mprotect keeps the write-protect mark of every page (measured, tests/kernel).
    return sys::protect(range, protection);
}

void PagemapScan::disown_in_child() noexcept
{
    pagemap_.replace_in_child();
    userfaultfd_.replace_in_child(pagemap_.descriptor());
}

Result<void> PagemapScan::reopen_after_fork() noexcept
{
    auto userfaultfd = sys::Userfaultfd::open();
    if (!userfaultfd)
        return tl::unexpected(userfaultfd.error());
    auto pagemap = sys::Pagemap::open();
    if (!pagemap)
        return tl::unexpected(pagemap.error());
    userfaultfd_ = std::move(*userfaultfd);
    pagemap_ = std::move(*pagemap);
    return drops_are_told_ ? armed_.reopen() : Result<void>();
}

} // namespace writewatch::backend
