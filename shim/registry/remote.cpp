// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/registry/remote.h"

#include "shim/core/latch_map.h"
#include "shim/sys/process.h"
#include "shim/sys/signals.h"
#include "shim/sys/sysfs.h"

#include <algorithm>
#include <array>
#include <cerrno>

namespace writewatch::registry {

namespace {

constexpr std::uintptr_t word_bytes = 64 * page_size;
constexpr std::size_t no_limit = ~std::size_t{0};

// The target is on the same kernel: one switch for all.
bool zero_page_is_clean()
{
    return !sys::read_flag("/sys/kernel/mm/ksm/use_zero_pages");
}

backend::Mode to_mode(RegionMode mode)
{
    return static_cast<backend::Mode>(mode);
}

// A target whose mappings may be replaced behind its library's back.
backend::PageScanner scanner_of(backend::ScanDevice& device, Host host)
{
    return {device, backend::ScanQuery(zero_page_is_clean(), host == Host::c_api)};
}

template<typename Visitor> void for_each_page(const PageBits& bits, Visitor visit)
{
    for (const auto& [word, mask] : bits) {
        for (std::uint64_t left = mask; left != 0; left &= left - 1)
            visit(word + static_cast<unsigned>(__builtin_ctzll(left)) * page_size);
    }
}

Error explain(Error error)
{
    if (error.code == EPERM) // PM_SCAN_CHECK_WPASYNC
        return {EAGAIN, "the target's registration was lost", error.range};
    if (error.code == ENOTTY)
        return {ENOTSUP, "this kernel has no PAGEMAP_SCAN", error.range};
    return error;
}

// Threads that are suspended or ended in here would leave the lock, or malloc's, behind.
template<typename Action>
auto guarded(std::mutex& mutex, Action action) noexcept -> decltype(action())
{
    const sys::SignalBlock signals;
    try {
        const std::scoped_lock lock(mutex);
        return action();
    } catch (...) {
        return fail(ENOMEM, "read another process");
    }
}

} // namespace

Result<std::unique_ptr<RemoteProcess>> RemoteProcess::attach(pid_t pid) noexcept
{
    using Attached = Result<std::unique_ptr<RemoteProcess>>;
    std::mutex nobody_else;
    return guarded(nobody_else, [&]() -> Attached {
        const auto start_time = sys::start_time_of(pid);
        if (!start_time)
            return tl::unexpected(start_time.error());
        // What it throws is caught by guarded().
        // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new)
        std::unique_ptr<RemoteProcess> process(new RemoteProcess(pid, *start_time));
        if (auto ok = process->find_segments(); !ok)
            return tl::unexpected(ok.error());
        if (process->sources_.empty())
            return fail(ENOENT, "the process publishes no write watches");
        return process;
    });
}

Result<void> RemoteProcess::find_segments()
{
    for (const std::string& name : segments_of(pid_)) {
        const auto same = [&](const auto& source) { return source->segment.name() == name; };
        if (std::any_of(sources_.begin(), sources_.end(), same))
            continue;
        auto segment = SegmentReader::open(name);
        if (!segment || !segment->alive())
            continue;
        const auto info = segment->read();
        if (!info || !info->same_pid_namespace || info->pid != pid_ ||
            info->start_time != start_time_)
            continue;
        auto pagemap = sys::Pagemap::open(pid_);
        if (!pagemap)
            return pagemap.error().code == EACCES ? fail(EPERM, "open /proc/PID/pagemap")
                                                  : Result<void>(tl::unexpected(pagemap.error()));
        // Held before and after: so it was the same address space when the pagemap was opened.
        if (!segment->alive())
            continue;
        sources_.push_back(std::make_unique<Source>(std::move(*segment), std::move(*pagemap)));
    }
    return {};
}

bool RemoteProcess::alive() const noexcept
{
    return std::any_of(sources_.begin(), sources_.end(),
                       [](const auto& source) { return source->segment.alive(); });
}

Result<RemoteProcess::Where> RemoteProcess::locate(PageRange range)
{
    for (int attempt = 0; attempt < 2; ++attempt) {
        for (const auto& source : sources_) {
            if (!source->segment.alive())
                return fail(ESRCH, "the process has ended", range);
            const auto changes = source->segment.region_changes();
            if (!changes)
                return tl::unexpected(changes.error());
            if (*changes != source->table.changes || source->table.regions.empty()) {
                auto table = source->segment.read_regions();
                if (!table)
                    return tl::unexpected(table.error());
                source->table = std::move(*table);
            }
            const auto& regions = source->table.regions;
            const auto above = std::upper_bound(
                regions.begin(), regions.end(), range.start,
                [](std::uintptr_t start, const RegionInfo& r) { return start < r.range.start; });
            if (above == regions.begin())
                continue;
            const RegionInfo& region = *std::prev(above);
            if (range.empty() || !region.range.contains(range))
                continue;
            if (source->table.backend != "pagemap-scan")
                return fail(ENOTSUP, "the target tracks by other means than the kernel's", range);
            if (region.mode == RegionMode::armed_huge && region.range != range)
                return fail(EINVAL, "a hugetlb region is asked about as a whole", range);
            return Where{source.get(), region};
        }
        // It may have begun to use another library of ours.
        if (auto ok = find_segments(); !ok)
            return tl::unexpected(ok.error());
    }
    return fail(ENOENT, "not inside one watched region", range);
}

// After a scan: what was scanned were pages of a watched region, all of the time or, if it was
// released and another made in its place, of one before and one after. In the latter case pages of
// the former may be reported: too many, not too few.
Result<void> RemoteProcess::still_there(const Where& where, PageRange range)
{
    if (!where.source->segment.alive())
        return fail(ESRCH, "the process has ended", range);
    const auto now = locate(range);
    return now ? Result<void>() : tl::unexpected(now.error());
}

bool RemoteProcess::owes(PageRange range) const
{
    const auto first = owed_.lower_bound(range.start);
    return first != owed_.end() && *first < range.end;
}

// On an error `found` has what was reset before it.
Result<void> RemoteProcess::scan_into(Pages& found, const Where& where, PageRange range, bool reset,
                                      std::size_t most)
{
    backend::PageScanner scanner = scanner_of(*where.source, where.source->table.host);
    const backend::Mode mode = to_mode(where.region.mode);
    const auto first = scanner.skip_clean(range, mode);
    if (!first)
        return tl::unexpected(explain(first.error()));
    range.start = *first;
    std::array<backend::Run, 512> runs;
    std::size_t left = most;
    while (!range.empty() && left > 0) {
        const auto result = scanner.scan({.range = range,
                                          .mode = mode,
                                          .reset = reset,
                                          .max_pages = most == no_limit ? 0 : left},
                                         runs);
        if (!result)
            return tl::unexpected(explain(result.error()));
        for (std::size_t i = 0; i < result->runs; ++i) {
            for (std::uintptr_t page = runs[i].start; page < runs[i].end; page += page_size) {
                found.insert(found.end(), page);
                left -= left != 0 && most != no_limit ? 1 : 0;
            }
        }
        range.start = result->resume;
    }
    return {};
}

// The usual case: nothing is latched, and nothing owed.
Result<std::size_t> RemoteProcess::collect_plain(const Where& where, PageRange range, bool reset,
                                                 std::span<std::uintptr_t> out)
{
    Pages found;
    auto ok = scan_into(found, where, range, reset, out.size());
    if (ok)
        ok = still_there(where, range);
    Result<LatchedPages> latched;
    if (ok) {
        // Pages latched and dropped while we scanned were in no scan.
        latched = where.source->segment.read_latched(range);
        if (!latched)
            ok = tl::unexpected(latched.error());
    }
    if (reset && (!ok || !latched->bits.empty() || found.size() > out.size()))
        owed_.merge(found);
    if (!ok)
        return tl::unexpected(ok.error());
    if (!latched->bits.empty() || found.size() > out.size())
        return fail(EBUSY, "look again, with what is latched", range);
    std::copy(found.begin(), found.end(), out.begin());
    return found.size();
}

// One step where pages are latched or owed: adds up to `most` pages to `found`, and returns where
// to go on.
Result<std::uintptr_t> RemoteProcess::collect_latched(const Where& where, PageRange range,
                                                      bool reset, std::size_t most, Pages& found)
{
    const SegmentReader& segment = where.source->segment;
    const auto before = segment.read_latched(range);
    if (!before)
        return tl::unexpected(before.error());
    Pages seen;
    if (auto ok = scan_into(seen, where, range, false, most); !ok)
        return tl::unexpected(ok.error());
    const auto add_owed = [&](Pages& to, PageRange part) {
        to.insert(owed_.lower_bound(part.start), owed_.lower_bound(part.end));
    };
    add_owed(seen, range);
    for_each_page(before->bits, [&](std::uintptr_t page) { seen.insert(page); });
    if (where.region.mode != RegionMode::armed_huge && seen.size() > most)
        range.end = *std::next(seen.begin(), static_cast<std::ptrdiff_t>(most));

    if (reset) {
        // Owed until they are returned.
        Pages consumed;
        auto ok = scan_into(consumed, where, range, true, no_limit);
        owed_.merge(consumed);
        if (!ok)
            return tl::unexpected(ok.error());
        seen.clear();
    }
    if (auto ok = still_there(where, range); !ok)
        return tl::unexpected(ok.error());
    const auto latched = segment.read_latched(range);
    if (!latched)
        return tl::unexpected(latched.error());
    add_owed(seen, range);
    for_each_page(latched->bits, [&](std::uintptr_t page) { seen.insert(page); });
    seen.erase(seen.lower_bound(range.end), seen.end());
    std::uintptr_t next = range.end;
    if (seen.size() > most) {
        const auto rest = std::next(seen.begin(), static_cast<std::ptrdiff_t>(most));
        next = *rest;
        seen.erase(rest, seen.end());
    }

    if (reset) {
        PageBits taken;
        for (const std::uintptr_t page : seen) {
            const std::uintptr_t word = page & ~(word_bytes - 1);
            const auto bits = latched->bits.find(word);
            const std::uint64_t bit = std::uint64_t{1} << ((page - word) >> page_shift);
            if (bits != latched->bits.end() && (bits->second & bit) != 0)
                taken[word] |= bit;
            owed_.erase(page);
        }
        // What cannot be requested stays latched, and is reported once more.
        (void)segment.request_reset(*latched, taken);
    }
    found.merge(seen);
    return next;
}

Result<std::size_t> RemoteProcess::collect(PageRange range, bool reset,
                                           std::span<std::uintptr_t> out)
{
    const auto where = locate(range);
    if (!where)
        return tl::unexpected(where.error());
    if (!owes(range)) {
        const auto latched = where->source->segment.read_latched(range);
        if (!latched)
            return tl::unexpected(latched.error());
        if (latched->bits.empty()) {
            auto found = collect_plain(*where, range, reset, out);
            if (found || found.error().code != EBUSY)
                return found;
        }
    }
    Pages found;
    while (!range.empty() && found.size() < out.size()) {
        const auto next = collect_latched(*where, range, reset, out.size() - found.size(), found);
        if (!next) {
            if (reset)
                owed_.merge(found);
            return tl::unexpected(next.error());
        }
        range.start = *next;
    }
    std::copy(found.begin(), found.end(), out.begin());
    return found.size();
}

Result<std::size_t> RemoteProcess::get(PageRange range, bool reset,
                                       std::span<std::uintptr_t> out) noexcept
{
    return guarded(mutex_, [&] { return collect(range, reset, out); });
}

void RemoteProcess::give_back(std::uintptr_t page) noexcept
{
    (void)guarded(mutex_, [&]() -> Result<void> {
        owed_.insert(page_floor(page));
        return {};
    });
}

Result<void> RemoteProcess::reset(PageRange range) noexcept
{
    return guarded(mutex_, [&]() -> Result<void> {
        const auto where = locate(range);
        if (!where)
            return tl::unexpected(where.error());
        backend::PageScanner scanner = scanner_of(*where->source, where->source->table.host);
        if (auto ok = scanner.reset(range, to_mode(where->region.mode)); !ok) {
            // It may have reset some pages before it failed.
            for (std::uintptr_t page = range.start; page < range.end; page += page_size)
                owed_.insert(owed_.end(), page);
            return tl::unexpected(explain(ok.error()));
        }
        if (auto ok = still_there(*where, range); !ok)
            return ok;
        const SegmentReader& segment = where->source->segment;
        const auto latched = segment.read_latched(range);
        if (!latched)
            return tl::unexpected(latched.error());
        owed_.erase(owed_.lower_bound(range.start), owed_.lower_bound(range.end));
        return segment.request_reset(*latched, latched->bits);
    });
}

Result<std::vector<RegionInfo>> RemoteProcess::regions() noexcept
{
    return guarded(mutex_, [&]() -> Result<std::vector<RegionInfo>> {
        if (auto ok = find_segments(); !ok)
            return tl::unexpected(ok.error());
        std::vector<RegionInfo> all;
        for (const auto& source : sources_) {
            const auto info = source->segment.read();
            if (!info)
                return tl::unexpected(info.error());
            all.insert(all.end(), info->regions.begin(), info->regions.end());
        }
        std::sort(all.begin(), all.end(), [](const RegionInfo& a, const RegionInfo& b) {
            return a.range.start < b.range.start;
        });
        return all;
    });
}

} // namespace writewatch::registry
