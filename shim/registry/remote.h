// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Reads and resets the write watches of another process: its pages through /proc/PID/pagemap, which
// asks for the kernel's leave (PTRACE_MODE_READ, ptrace(2)); its regions and latched pages from its
// registry.
//
// The target is not asked and not stopped, and may do anything meanwhile: whether its address space
// still exists, and the range still lies in one region, is looked at after every scan. A get with
// reset consumes what it returns, as if the target itself had called it.
//
// Thread-safe; calls exclude each other. Allocates; throws nothing.
#pragma once

#include "shim/backend/pagemap_scan.h"
#include "shim/registry/reader.h"
#include "shim/sys/pagemap.h"

#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <vector>

namespace writewatch::registry {

class RemoteProcess {
  public:
    // Errors: ESRCH (no such process); EPERM (the kernel does not let us); ENOENT (it watches
    // nothing that we could know of: it does not use this library, or not yet).
    static Result<std::unique_ptr<RemoteProcess>> attach(pid_t pid) noexcept;

    // False: it has ended, or become another program by exec.
    bool alive() const noexcept;

    Result<std::vector<RegionInfo>> regions() noexcept;

    // Addresses of written pages, ascending, up to out.size(); with `reset`, makes exactly those
    // clean. Errors: ESRCH; ENOENT (the range is not inside one watched region); ENOTSUP (it is
    // tracked by another backend than pagemap-scan); EAGAIN (the target's registration was lost,
    // and it has not mended it yet); what PAGEMAP_SCAN answers. After an error nothing is lost:
    // pages that were reset are returned by the next call on this object.
    Result<std::size_t> get(PageRange range, bool reset, std::span<std::uintptr_t> out) noexcept;

    // A page that a get with reset returned and that does not reach its caller.
    void give_back(std::uintptr_t page) noexcept;

    // Makes the range clean.
    Result<void> reset(PageRange range) noexcept;

  private:
    using Pages = std::set<std::uintptr_t>;

    // One segment of the target, for each library of ours that it uses. The pagemap belongs to the
    // same address space: it was opened while the segment's lock was held.
    struct Source final : backend::ScanDevice {
        Source(SegmentReader reader, sys::Pagemap map) noexcept
            : segment(std::move(reader)), pagemap(std::move(map))
        {}
        int scan(abi::PmScanArg& argument) noexcept override { return pagemap.scan(argument); }

        SegmentReader segment;
        sys::Pagemap pagemap;
        RegionTable table;
    };
    struct Where {
        Source* source;
        RegionInfo region;
    };

    RemoteProcess(pid_t pid, std::uint64_t start_time) noexcept : pid_(pid), start_time_(start_time)
    {}

    Result<void> find_segments();
    Result<Where> locate(PageRange range);
    Result<void> still_there(const Where& where, PageRange range);
    Result<std::size_t> collect(PageRange range, bool reset, std::span<std::uintptr_t> out);
    Result<std::size_t> collect_plain(const Where& where, PageRange range, bool reset,
                                      std::span<std::uintptr_t> out);
    Result<std::uintptr_t> collect_latched(const Where& where, PageRange range, bool reset,
                                           std::size_t most, Pages& found);
    Result<void> scan_into(Pages& found, const Where& where, PageRange range, bool reset,
                           std::size_t most);
    bool owes(PageRange range) const;

    pid_t pid_;
    std::uint64_t start_time_;
    std::vector<std::unique_ptr<Source>> sources_;
    // Reset on the target and returned to nobody yet.
    Pages owed_;
    std::mutex mutex_;
};

} // namespace writewatch::registry
