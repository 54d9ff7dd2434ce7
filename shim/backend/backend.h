// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the core asks of a mechanism that tracks writes. One implementation per file of this folder:
// pagemap_scan (the kernel tracks), mprotect (we do, by signals), fake (tests).
#pragma once

#include "shim/sys/page.h"
#include "shim/sys/result.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace writewatch::backend {

// How the pages of a region answer before their first write. The host chooses, since it knows the
// memory; the core stores it and passes it back with every call.
enum class Mode : std::uint8_t {
    // Private anonymous memory without huge pages: a page that is not populated is clean by itself.
    on_presence,
    // Anything else: every page is armed up front, populated or not.
    armed,
    // As `armed`, in units of 2 MiB (hugetlb): a scan cannot be cut inside one.
    armed_huge,
};

// What a range holds when its tracking begins.
enum class Contents : std::uint8_t {
    empty,   // freshly mapped: nothing is populated; reads as clean
    clean,   // may be populated; becomes clean
    written, // may be populated; whatever is, reads as written
};

struct TrackRequest {
    PageRange range;
    Mode mode = Mode::on_presence;
    Contents contents = Contents::empty;
    int protection = 0; // PROT_*, as the program sees it
};

// A run of written pages [start, end). The third word is the mechanism's own (the kernel writes its
// categories there), so that results need no copy between kernel and core.
struct Run {
    std::uint64_t start;
    std::uint64_t end;
    std::uint64_t scratch;
};

struct ScanRequest {
    PageRange range;
    Mode mode = Mode::on_presence;
    bool reset = false;        // make clean exactly the pages that are returned
    std::size_t max_pages = 0; // pages to return at most; 0: no limit
};

struct ScanResult {
    std::size_t runs = 0;      // entries written to `out`, ascending, disjoint
    std::uintptr_t resume = 0; // scan on from here; range.end when all of it was seen
};

class Backend {
  public:
    virtual ~Backend() = default;

    virtual std::string_view name() const noexcept = 0;

    // Begins (or begins again, after a mapping was replaced) to track a mapped range.
    // Takes no lock that a caller of any other function can hold; may be called inside a hook.
    virtual Result<void> track(const TrackRequest& request) noexcept = 0;

    // Ends tracking of a range that stays mapped; pages become plainly writable again.
    virtual Result<void> untrack(PageRange range, Mode mode) noexcept = 0;

    // The memory is about to be unmapped.
    virtual void forget(PageRange range) noexcept = 0;

    // Pages of the range may have been dropped: the host threw their contents away and kept the
    // mapping (madvise).
    virtual void dropped(PageRange) noexcept {}

    // A lower bound for the first written page of the range: nothing before it was written. Cheap
    // where nothing was. Returns range.end when the range is clean.
    virtual Result<std::uintptr_t> skip_clean(PageRange range, Mode mode) noexcept = 0;

    // One step of a scan. Reading and resetting a page are one atomic action: a write lands either
    // before it, and is returned, or after it, and is returned by the next scan. On an error
    // nothing was reset that an earlier, successful step did not return. Allocates nothing, takes
    // no lock, writes no log; async-signal-safe.
    virtual Result<ScanResult> scan(const ScanRequest& request, std::span<Run> out) noexcept = 0;

    // Makes the range clean without telling which pages were not. Same guarantees as scan.
    virtual Result<void> reset(PageRange range, Mode mode) noexcept = 0;

    // Changes the protection of tracked memory (PROT_*) on the host's behalf. Neither sets nor
    // clears written state.
    virtual Result<void> protect(PageRange range, int protection) noexcept = 0;

    // In a child process, before fork() returns: nothing that it or a call interrupted by the fork
    // does from here on may reach the parent. Async-signal-safe.
    virtual void disown_in_child() noexcept {}

    // In a child process after fork: gets rid of the parent's handles, opens own ones. The core
    // then tracks its regions again, unless the mechanism's state came along with the memory.
    virtual Result<void> reopen_after_fork() noexcept = 0;
    virtual bool survives_fork() const noexcept = 0;
};

} // namespace writewatch::backend
