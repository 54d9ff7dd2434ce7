// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Reads what processes of this user publish about their write watches.
//
// Nothing in a segment is trusted: it is copied with pread(2), so that a file that shrinks under us
// gives a short read and not a SIGBUS; every offset, number and length is checked against what was
// read; texts are cut. What is wrong is reported with its reason and skipped. A segment of a
// process that is gone is removed on the way (a live one is never: docs/registry.md).
//
// Reading leaves the owner alone: no lock it could wait for, no write to its segment or memory.
// Functions allocate and may throw std::bad_alloc, nothing else.
#pragma once

#include "shim/registry/layout.h"
#include "shim/sys/page.h"
#include "shim/sys/result.h"
#include "shim/sys/shared_memory.h"

#include <cstdint>
#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

namespace writewatch::registry {

struct RegionInfo {
    std::uint64_t id = 0;
    PageRange range;
    std::uint64_t created = 0;    // CLOCK_REALTIME, ns
    std::uint32_t protection = 0; // when allocated: PROT_* for Host::c_api, else PAGE_*
    RegionMode mode = RegionMode::on_presence;
    Counters counters;
    std::uint64_t latched_pages = 0; // now
};

struct ProcessInfo {
    std::string segment; // the name of its file in /dev/shm
    pid_t pid = 0;
    std::uint64_t start_time = 0; // clock ticks since boot
    // False: it lives in another pid namespace, where its pid means something else than here.
    bool same_pid_namespace = true;
    std::uint32_t windows_pid = 0; // 0: not under Wine
    Host host = Host::unknown;
    std::string image;
    std::string prefix;
    std::uint64_t prefix_device = 0;
    std::uint64_t prefix_inode = 0;
    std::string library_version;
    std::string backend;
    std::string backend_reason; // empty: there is no better one
    std::uint64_t created = 0;  // of the segment: the first watched region; CLOCK_REALTIME, ns
    std::uint64_t region_changes = 0;
    bool regions_incomplete = false; // more regions than can be published
    bool latches_incomplete = false;
    Counters total;                  // of all regions, those that are gone included
    std::vector<RegionInfo> regions; // ascending by address
};

// Pages as bits, by the address of their word (64 pages, 256 KiB).
using PageBits = std::map<std::uintptr_t, std::uint64_t>;

struct LatchedPages {
    PageBits bits;
    std::map<std::uintptr_t, std::uint32_t> versions; // by window address
};

struct RegionTable {
    Host host = Host::unknown;
    std::string backend;
    std::uint64_t changes = 0;       // SegmentReader::region_changes
    std::vector<RegionInfo> regions; // ascending by address; latched pages are not counted
};

// One segment, held open.
class SegmentReader {
  public:
    // Errors: ENOENT; EACCES (not this user's, or open to others); EPROTO (not a segment, or
    // damaged); EPROTONOSUPPORT (another layout version); EAGAIN (its owner is just making it);
    // ESRCH (its owner is gone).
    static Result<SegmentReader> open(const std::string& name);

    // Whether the owner's address space still exists: not after exit, kill, or exec.
    bool alive() const noexcept;
    // Whether its owner has finished making it.
    bool is_ready() const noexcept;

    // All of it. Errors as open, ESRCH when the owner ended meanwhile.
    Result<ProcessInfo> read() const;

    // Changes whenever a region begins, ends, or is cut.
    Result<std::uint64_t> region_changes() const;
    Result<RegionTable> read_regions() const;

    // Latched pages of the range, without those that another process has reset. ENOBUFS: the owner
    // could not publish all of them.
    Result<LatchedPages> read_latched(PageRange range) const;

    // A request to the owner to forget latched pages, as they were when `seen` was read.
    Result<void> request_reset(const LatchedPages& seen, const PageBits& pages) const;

    const std::string& name() const noexcept { return name_; }

    // How long a call waits for a writer to finish what it is writing.
    void set_patience(std::uint64_t limit_ns) noexcept { patience_ns_ = limit_ns; }

  private:
    SegmentReader(std::string name, sys::SharedMemoryFile file) noexcept
        : name_(std::move(name)), file_(std::move(file))
    {}

    Result<Header> read_header() const;
    // As of one moment, unless they never stand still.
    Result<Header> read_table(std::vector<RegionInfo>& regions) const;
    Result<void> read_regions(const Header& header, std::vector<RegionInfo>& out) const;
    Result<void> count_latched(std::vector<RegionInfo>& regions) const;
    template<typename Visitor>
    Result<void> visit_latch_records(const Header& header, Visitor visit) const;

    std::string name_;
    sys::SharedMemoryFile file_;
    std::uint64_t patience_ns_ = 200'000'000;
};

struct SkippedSegment {
    std::string segment;
    std::string reason;
};

struct Listing {
    std::vector<ProcessInfo> processes;  // ascending by pid; one for each library a process uses
    std::vector<SkippedSegment> skipped; // damaged, hostile or unknown ones
    std::size_t swept = 0;               // segments of processes that are gone, now removed
};

// All live segments of this user. ENOENT: there is no shared memory at all on this machine.
Result<Listing> list();

// Those of one process, by its Linux pid. Empty: it publishes nothing.
Result<std::vector<ProcessInfo>> read_process(pid_t pid);

// Removes segments of processes that are gone, this user's, having looked at `most` segments at
// most; returns how many.
std::size_t sweep(std::size_t most) noexcept;

// The names of a process's segments, without reading them.
std::vector<std::string> segments_of(pid_t pid);

} // namespace writewatch::registry
