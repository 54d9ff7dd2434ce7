// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The file that `writewatch record` writes and `writewatch report` reads. docs/recording-format.md
// describes it byte by byte.
#pragma once

#include "shim/tool/page_runs.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace writewatch::tool {

namespace recorded {

struct Start {
    std::uint64_t wall_clock_ns = 0; // since 1970, UTC
    std::uint64_t interval_ns = 0;   // between looks at the pages
    std::string version;             // of writewatch
    std::string kernel;
    std::string command; // empty: a process that was running already
};

struct Process {
    std::uint64_t id = 0;
    std::uint64_t pid = 0;
    std::uint64_t windows_pid = 0; // 0: not under Wine
    std::string image;
    std::string prefix;
    std::string version;
    std::string backend;
};

struct Region {
    std::uint64_t id = 0;
    std::uint64_t process = 0; // Process::id
    std::uint64_t base = 0;
    std::uint64_t bytes = 0;
    std::string protection; // in words; empty: not known
    bool existed = false;   // before the recording began
};

// What was added to a region's counters since the last time.
struct Counters {
    std::uint64_t region = 0; // Region::id
    std::uint64_t gets = 0;
    std::uint64_t resets = 0;    // ResetWriteWatch
    std::uint64_t pages = 0;     // that gets returned
    std::uint64_t measured = 0;  // gets whose time was taken: about one in 64
    std::uint64_t kernel_ns = 0; // of these
    std::uint64_t user_ns = 0;   // of these
    std::uint64_t errors = 0;
    std::uint64_t over_reports = 0;
};

// A look at a region's pages.
struct Sample {
    std::uint64_t region = 0;
    bool fresh = false;        // all pages were reset since the last look
    std::uint64_t written = 0; // pages that are written now
    PageRuns news;             // page numbers in the region (not addresses), written since
};

enum class EndReason : std::uint8_t { process_ended = 0, stopped = 1, time_over = 2 };

struct End {
    EndReason reason = EndReason::stopped;
    std::uint64_t looks = 0;
    std::uint64_t look_ns = 0; // that the recorder spent looking
};

} // namespace recorded

// Writes a recording. Times are nanoseconds since it began, and do not decrease. What cannot be
// written is remembered and told by finish().
class RecordingWriter {
  public:
    // Creates or empties the file. On failure errno says why.
    static std::optional<RecordingWriter> create(const std::string& path);

    void start(const recorded::Start& start);
    void process(const recorded::Process& process);
    void region(std::uint64_t time, const recorded::Region& region);
    void region_gone(std::uint64_t time, std::uint64_t region);
    void counters(std::uint64_t time, const recorded::Counters& counters);
    void sample(std::uint64_t time, const recorded::Sample& sample);

    // The last record; false when anything could not be written (errno).
    bool finish(std::uint64_t time, const recorded::End& end);

    std::uint64_t bytes() const { return bytes_; }

  private:
    struct CloseFile {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };

    explicit RecordingWriter(std::FILE* file) : file_(file) {}
    void write(std::string_view bytes);
    void write_record(std::uint8_t type, std::string_view payload);
    std::string timed(std::uint64_t time);

    std::unique_ptr<std::FILE, CloseFile> file_;
    std::uint64_t last_time_ = 0;
    std::uint64_t bytes_ = 0;
    int error_ = 0;
};

// Receives what a recording holds, in order.
class RecordingVisitor {
  public:
    virtual ~RecordingVisitor() = default;
    virtual void start(const recorded::Start&) {}
    virtual void process(const recorded::Process&) {}
    virtual void region(std::uint64_t, const recorded::Region&) {}
    virtual void region_gone(std::uint64_t, std::uint64_t) {}
    virtual void counters(std::uint64_t, const recorded::Counters&) {}
    virtual void sample(std::uint64_t, const recorded::Sample&) {}
    virtual void end(std::uint64_t, const recorded::End&) {}
};

// Passes the records of a whole file to the visitor. The bytes are not trusted: every number is
// bounded, work and memory grow with the file's length only. Returns what is wrong with the file,
// or nothing; what was visited before that point is then not to be used.
std::optional<std::string> read_recording(std::string_view bytes, RecordingVisitor& visitor);

} // namespace writewatch::tool
