// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Looks at processes again and again, and writes what it sees into a recording. It reads only.
#pragma once

#include "shim/registry/reader.h"
#include "shim/tool/process_pages.h"
#include "shim/tool/recording.h"
#include "shim/tool/write_tracker.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace writewatch::tool {

class Recorder {
  public:
    // `belongs`: whether a process with write watches is to be recorded.
    Recorder(RecordingWriter writer, std::uint64_t interval_ns,
             std::function<bool(const registry::ProcessInfo&)> belongs);

    void start(const recorded::Start& start) { writer_.start(start); }

    // Looks for processes that have appeared.
    void discover();

    // One look at the counters of every process, and at the pages of those regions whose program
    // made a get since the last look, or whose interval has passed.
    void look();

    // Processes that are alive and recorded.
    std::size_t alive() const { return sources_.size(); }

    struct Totals {
        std::size_t processes = 0;
        std::size_t regions = 0;
        std::uint64_t gets = 0;
        std::uint64_t pages = 0;
        std::uint64_t looks = 0;
        std::uint64_t bytes = 0; // of the file so far
    };
    Totals totals() const;

    // Pages that could not be looked at, and why; empty: none.
    const std::string& problem() const { return problem_; }

    // Ends the file; false when it could not be written (errno).
    bool finish(recorded::EndReason reason);

  private:
    struct Region {
        std::uint64_t number = 0; // in the file
        registry::Counters counters;
        registry::Counters noted;        // those in the file
        std::uint64_t pending_since = 0; // a get began then whose pages are not counted yet
        registry::Counters at_last_look;
        WriteTracker tracker;
        std::uint64_t next_look = 0;
        std::uint64_t written = 0;
        PageRange range;
        backend::Mode mode = backend::Mode::on_presence;
        bool seen = false;
    };
    // One segment of the registry.
    struct Source {
        registry::SegmentReader reader;
        std::uint64_t number = 0;
        std::optional<ProcessPages> pages;
        std::map<std::uint64_t, Region> regions; // by id
        bool first = true;                       // not looked at yet
        bool existed = false;                    // before the recording began
    };

    std::uint64_t now() const;
    void add_source(registry::SegmentReader reader, const registry::ProcessInfo& process);
    bool look_at(Source& source);
    Region& find_region(Source& source, const registry::ProcessInfo& process,
                        const registry::RegionInfo& info);
    void note_counters(Region& region, const registry::Counters& counters);
    void write_counters(Region& region);
    bool note_current_counters(Source& source, Region& region);
    void look_at_pages(Source& source, Region& region);
    void retire(Source& source);

    RecordingWriter writer_;
    std::uint64_t began_;
    std::uint64_t interval_;
    std::function<bool(const registry::ProcessInfo&)> belongs_;
    std::map<std::string, Source> sources_; // by segment
    std::set<std::string> rejected_;        // segments that do not belong
    bool discovered_ = false;
    Totals totals_;
    std::uint64_t look_ns_ = 0;
    std::string problem_;
};

} // namespace writewatch::tool
