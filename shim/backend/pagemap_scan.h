// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Backend "pagemap-scan": the kernel tracks writes by userfaultfd write-protection in asynchronous
// mode, and PAGEMAP_SCAN reads and re-arms pages in one atomic step (Linux 6.7, or 6.1 with
// kernel-patches/6.1).
#pragma once

#include "abi/linux/pagemap_scan.h"
#include "shim/backend/armed_map.h"
#include "shim/backend/backend.h"
#include "shim/sys/pagemap.h"
#include "shim/sys/userfaultfd.h"

#include <memory>
#include <optional>

namespace writewatch::backend {

// Where scans go: the kernel, or a script in tests.
class ScanDevice {
  public:
    virtual ~ScanDevice() = default;
    // As the ioctl: the number of regions, or -errno.
    virtual int scan(abi::PmScanArg& argument) noexcept = 0;
};

struct PagemapScanOptions {
    // Have every scan check that the range is still registered (PM_SCAN_CHECK_WPASYNC), for users
    // whose mappings may be replaced without anybody telling us. A scan answers EPERM then.
    bool check_registration = false;
    // The host tells of all memory that it drops (track, dropped, forget), so that what is known
    // about pages stays true.
    bool drops_are_told = false;
};

// What a scan asks the kernel about. All PmScanArg values come from here, huge_pages_query and
// page_states_query.
class ScanQuery {
  public:
    // `zero_page_is_clean`: a page mapped to the shared zero page was read, never written. Not so
    // where KSM merges written pages into it (/sys/kernel/mm/ksm/use_zero_pages): then such pages
    // are reported, at the price of reporting pages that were only read.
    ScanQuery(bool zero_page_is_clean, bool check_registration) noexcept
        : zero_page_is_clean_(zero_page_is_clean), check_registration_(check_registration)
    {}

    enum class Action : std::uint8_t { read, reset };

    // Written pages of the range, by the mode's own masks.
    abi::PmScanArg written(PageRange range, Mode mode, Action action) const noexcept;
    // A superset of it that the kernel answers on its fast path.
    abi::PmScanArg maybe_written(PageRange range) const noexcept;

    bool zero_page_is_clean() const noexcept { return zero_page_is_clean_; }

  private:
    bool zero_page_is_clean_;
    bool check_registration_;
};

// Whether huge pages of any kind lie in the range: one region if so.
abi::PmScanArg huge_pages_query(PageRange range, std::span<Run> out) noexcept;

// The categories of every page of the range that has something mapped or swapped out: for tools
// that look at a process. Reads only. With Mode::armed also pages that are written and not
// populated.
abi::PmScanArg page_states_query(PageRange range, Mode mode,
                                 std::span<abi::PageRegion> out) noexcept;

// The result loop around the ioctl, apart from the kernel so that tests can script the answers.
class PageScanner {
  public:
    // `armed` may be null: nothing is known.
    PageScanner(ScanDevice& device, ScanQuery query, ArmedMap* armed = nullptr) noexcept
        : device_(device), query_(query), armed_(armed)
    {}

    Result<std::uintptr_t> skip_clean(PageRange range, Mode mode) noexcept;
    Result<ScanResult> scan(const ScanRequest& request, std::span<Run> out) noexcept;
    Result<void> reset(PageRange range, Mode mode) noexcept;

    const ScanQuery& query() const noexcept { return query_; }

  private:
    // What is known to be armed matters for this request.
    bool asks_armed_map(PageRange range, Mode mode) const noexcept;

    ScanDevice& device_;
    ScanQuery query_;
    ArmedMap* armed_;
};

class PagemapScan final : public Backend, private ScanDevice {
  public:
    // Opens the kernel's interfaces; errors say which one is missing. Does not try whether they
    // work: that is probe.h.
    static Result<std::unique_ptr<PagemapScan>> open(PagemapScanOptions options) noexcept;

    std::string_view name() const noexcept override { return "pagemap-scan"; }
    Result<void> track(const TrackRequest& request) noexcept override;
    Result<void> untrack(PageRange range, Mode mode) noexcept override;
    // The registration goes with the mapping, and no scan asks about its pages any more.
    void forget(PageRange) noexcept override {}
    void dropped(PageRange range) noexcept override;
    Result<std::uintptr_t> skip_clean(PageRange range, Mode mode) noexcept override;
    Result<ScanResult> scan(const ScanRequest& request, std::span<Run> out) noexcept override;
    Result<void> reset(PageRange range, Mode mode) noexcept override;
    Result<void> protect(PageRange range, int protection) noexcept override;
    void disown_in_child() noexcept override;
    Result<void> reopen_after_fork() noexcept override;
    bool survives_fork() const noexcept override { return false; }

    // Not so where KSM merges into the zero page: see ScanQuery.
    bool reads_are_clean() const noexcept { return scanner_.query().zero_page_is_clean(); }

  private:
    PagemapScan(sys::Userfaultfd userfaultfd, sys::Pagemap pagemap, ScanQuery query,
                bool drops_are_told) noexcept
        : userfaultfd_(std::move(userfaultfd)), pagemap_(std::move(pagemap)),
          drops_are_told_(drops_are_told),
          scanner_(*this, query, drops_are_told ? &armed_ : nullptr)
    {}

    Result<void> make_clean(const TrackRequest& request) noexcept;
    int scan(abi::PmScanArg& argument) noexcept override { return pagemap_.scan(argument); }

    sys::Userfaultfd userfaultfd_;
    sys::Pagemap pagemap_;
    bool drops_are_told_;
    ArmedMap armed_; // open if drops_are_told_
    PageScanner scanner_;
};

} // namespace writewatch::backend
