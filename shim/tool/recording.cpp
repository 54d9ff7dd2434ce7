// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/recording.h"

#include <cerrno>
#include <fmt/format.h>
#include <limits>
#include <unordered_map>
#include <unordered_set>

namespace writewatch::tool {

namespace {

// The bytes after the name tell text-mode damage, as PNG's do.
constexpr std::string_view magic("WWREC\r\n\x1a", 8);
constexpr std::uint8_t format_version = 1;

enum Type : std::uint8_t {
    type_start = 1,
    type_process = 2,
    type_region = 3,
    type_region_gone = 4,
    type_counters = 5,
    type_sample = 6,
    type_end = 7,
};

// Far above what occurs; below what would let a file make the reader do unbounded work.
constexpr std::size_t max_text = 4096;
constexpr std::size_t max_processes = 1 << 16;
constexpr std::size_t max_regions = 1 << 20;
constexpr std::uint64_t max_time = std::uint64_t{1} << 62;
// Of one step of a counter. A hostile file's sums may still wrap, which harms nobody.
constexpr std::uint64_t max_step = std::uint64_t{1} << 40;

void put_number(std::string& out, std::uint64_t value)
{
    while (value >= 0x80) {
        out += static_cast<char>(value | 0x80);
        value >>= 7;
    }
    out += static_cast<char>(value);
}

void put_text(std::string& out, std::string_view text)
{
    text = text.substr(0, max_text);
    put_number(out, text.size());
    out += text;
}

// Reads from the front of bytes; after the first mistake everything reads as 0.
class Cursor {
  public:
    explicit Cursor(std::string_view bytes) : rest_(bytes) {}

    bool failed() const { return failed_; }
    bool at_end() const { return rest_.empty(); }
    std::size_t left() const { return rest_.size(); }

    std::uint64_t number()
    {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
            const auto byte = static_cast<unsigned char>(rest_.front());
            rest_.remove_prefix(1);
            if (shift == 63 && byte > 1)
                break;
            value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
            if (byte < 0x80)
                return value;
        }
        return fail();
    }

    std::string_view take(std::uint64_t length)
    {
        if (length > rest_.size()) {
            fail();
            return {};
        }
        const std::string_view taken = rest_.substr(0, static_cast<std::size_t>(length));
        rest_.remove_prefix(taken.size());
        return taken;
    }

    std::string text()
    {
        const std::uint64_t length = number();
        if (length > max_text) {
            fail();
            return {};
        }
        return std::string(take(length));
    }

    std::uint64_t fail()
    {
        failed_ = true;
        rest_ = {};
        return 0;
    }

  private:
    std::string_view rest_;
    bool failed_ = false;
};

// One pass over a file's records.
class Reader {
  public:
    explicit Reader(RecordingVisitor& visitor) : visitor_(visitor) {}

    // What is wrong with the record, or nullptr.
    const char* record(std::uint64_t type, std::string_view payload)
    {
        if (ended_)
            return "something follows the end";
        if (!started_ && type != type_start)
            return "it does not begin with the start record";
        Cursor cursor(payload);
        const char* const mistake = dispatch(type, cursor);
        if (mistake != nullptr)
            return mistake;
        return cursor.failed() ? "a record is cut short or holds a number out of bounds" : nullptr;
    }

    bool ended() const { return ended_; }

  private:
    const char* dispatch(std::uint64_t type, Cursor& in)
    {
        switch (type) {
        case type_start:
            return start(in);
        case type_process:
            return process(in);
        case type_region:
            return region(in);
        case type_region_gone:
            return region_gone(in);
        case type_counters:
            return counters(in);
        case type_sample:
            return sample(in);
        case type_end:
            return end(in);
        default:
            return nullptr; // of a later writer, for later readers
        }
    }

    const char* start(Cursor& in)
    {
        if (started_)
            return "it has two start records";
        started_ = true;
        recorded::Start start;
        start.wall_clock_ns = in.number();
        start.interval_ns = in.number();
        start.version = in.text();
        start.kernel = in.text();
        start.command = in.text();
        if (!in.failed())
            visitor_.start(start);
        return nullptr;
    }

    const char* process(Cursor& in)
    {
        recorded::Process process;
        process.id = in.number();
        process.pid = in.number();
        process.windows_pid = in.number();
        process.image = in.text();
        process.prefix = in.text();
        process.version = in.text();
        process.backend = in.text();
        if (in.failed())
            return nullptr;
        if (processes_.size() >= max_processes || !processes_.insert(process.id).second)
            return "a process occurs twice, or there are too many";
        visitor_.process(process);
        return nullptr;
    }

    const char* region(Cursor& in)
    {
        const std::uint64_t time = next_time(in);
        recorded::Region region;
        region.id = in.number();
        region.process = in.number();
        region.base = in.number();
        region.bytes = in.number();
        region.protection = in.text();
        region.existed = in.number() != 0;
        if (in.failed())
            return nullptr;
        if (processes_.count(region.process) == 0)
            return "a region belongs to no process";
        if (region.bytes == 0 || region.base % page_size != 0 || region.bytes % page_size != 0 ||
            region.base > address_space_end || region.bytes > address_space_end - region.base)
            return "a region lies outside the address space";
        if (regions_.size() >= max_regions ||
            !regions_.emplace(region.id, region.bytes >> page_shift).second)
            return "a region occurs twice, or there are too many";
        visitor_.region(time, region);
        return nullptr;
    }

    const char* region_gone(Cursor& in)
    {
        const std::uint64_t time = next_time(in);
        const std::uint64_t id = in.number();
        if (in.failed())
            return nullptr;
        if (regions_.count(id) == 0)
            return "a record is about no region";
        visitor_.region_gone(time, id);
        return nullptr;
    }

    const char* counters(Cursor& in)
    {
        const std::uint64_t time = next_time(in);
        recorded::Counters counters;
        counters.region = in.number();
        for (std::uint64_t* const field :
             {&counters.gets, &counters.resets, &counters.pages, &counters.measured,
              &counters.kernel_ns, &counters.user_ns, &counters.errors, &counters.over_reports}) {
            *field = in.number();
            if (*field > max_step)
                in.fail();
        }
        if (in.failed())
            return nullptr;
        if (regions_.count(counters.region) == 0)
            return "a record is about no region";
        visitor_.counters(time, counters);
        return nullptr;
    }

    const char* sample(Cursor& in)
    {
        const std::uint64_t time = next_time(in);
        recorded::Sample sample;
        sample.region = in.number();
        sample.fresh = in.number() != 0;
        sample.written = in.number();
        const std::uint64_t runs = in.number();
        const auto region = regions_.find(sample.region);
        if (in.failed())
            return nullptr;
        if (region == regions_.end())
            return "a record is about no region";
        const std::uint64_t pages = region->second;
        // A run takes two bytes at least.
        if (runs > in.left() / 2 || sample.written > pages) {
            in.fail();
            return nullptr;
        }
        sample.news.reserve(static_cast<std::size_t>(runs));
        std::uint64_t at = 0;
        for (std::uint64_t i = 0; i < runs; ++i) {
            const std::uint64_t gap = in.number();
            const std::uint64_t length = in.number();
            if (in.failed() || gap > pages - at || length == 0 || length > pages - at - gap) {
                in.fail();
                return nullptr;
            }
            sample.news.push_back({at + gap, at + gap + length});
            at += gap + length;
        }
        visitor_.sample(time, sample);
        return nullptr;
    }

    const char* end(Cursor& in)
    {
        const std::uint64_t time = next_time(in);
        recorded::End end;
        const std::uint64_t reason = in.number();
        end.looks = in.number();
        end.look_ns = in.number();
        if (in.failed())
            return nullptr;
        end.reason = reason <= static_cast<std::uint64_t>(recorded::EndReason::time_over)
                         ? static_cast<recorded::EndReason>(reason)
                         : recorded::EndReason::stopped;
        ended_ = true;
        visitor_.end(time, end);
        return nullptr;
    }

    std::uint64_t next_time(Cursor& in)
    {
        const std::uint64_t step = in.number();
        if (step > max_time - time_)
            return in.fail();
        time_ += step;
        return time_;
    }

    RecordingVisitor& visitor_;
    std::unordered_set<std::uint64_t> processes_;
    std::unordered_map<std::uint64_t, std::uint64_t> regions_; // pages
    std::uint64_t time_ = 0;
    bool started_ = false;
    bool ended_ = false;
};

} // namespace

std::optional<std::string> read_recording(std::string_view bytes, RecordingVisitor& visitor)
{
    if (bytes.substr(0, magic.size()) != magic)
        return "not a recording (see writewatch record)";
    Cursor file(bytes.substr(magic.size()));
    if (const std::uint64_t version = file.number(); version != format_version)
        return fmt::format("format {} is not known to this version of writewatch", version);
    Reader reader(visitor);
    while (!file.at_end()) {
        const std::size_t offset = bytes.size() - file.left();
        const std::uint64_t type = file.number();
        const std::uint64_t length = file.number();
        const std::string_view payload = file.take(length);
        if (file.failed())
            return fmt::format(
                "cut short at byte {}: the recorder was killed, or the disk was full", offset);
        if (const char* const mistake = reader.record(type, payload); mistake != nullptr)
            return fmt::format("damaged at byte {}: {}", offset, mistake);
    }
    if (!reader.ended())
        return "it has no end: the recorder was killed, is still running, or the disk was full";
    return std::nullopt;
}

std::optional<RecordingWriter> RecordingWriter::create(const std::string& path)
{
    std::FILE* const file = std::fopen(path.c_str(), "wbe");
    if (file == nullptr)
        return std::nullopt;
    RecordingWriter writer(file);
    std::string head(magic);
    put_number(head, format_version);
    writer.write(head);
    return writer;
}

void RecordingWriter::write(std::string_view bytes)
{
    if (error_ == 0 && std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size())
        error_ = errno;
    bytes_ += bytes.size();
}

void RecordingWriter::write_record(std::uint8_t type, std::string_view payload)
{
    std::string head;
    put_number(head, type);
    put_number(head, payload.size());
    write(head);
    write(payload);
}

std::string RecordingWriter::timed(std::uint64_t time)
{
    std::string payload;
    put_number(payload, time - last_time_);
    last_time_ = time;
    return payload;
}

void RecordingWriter::start(const recorded::Start& start)
{
    std::string payload;
    put_number(payload, start.wall_clock_ns);
    put_number(payload, start.interval_ns);
    put_text(payload, start.version);
    put_text(payload, start.kernel);
    put_text(payload, start.command);
    write_record(type_start, payload);
}

void RecordingWriter::process(const recorded::Process& process)
{
    std::string payload;
    put_number(payload, process.id);
    put_number(payload, process.pid);
    put_number(payload, process.windows_pid);
    put_text(payload, process.image);
    put_text(payload, process.prefix);
    put_text(payload, process.version);
    put_text(payload, process.backend);
    write_record(type_process, payload);
}

void RecordingWriter::region(std::uint64_t time, const recorded::Region& region)
{
    std::string payload = timed(time);
    put_number(payload, region.id);
    put_number(payload, region.process);
    put_number(payload, region.base);
    put_number(payload, region.bytes);
    put_text(payload, region.protection);
    put_number(payload, region.existed ? 1 : 0);
    write_record(type_region, payload);
}

void RecordingWriter::region_gone(std::uint64_t time, std::uint64_t region)
{
    std::string payload = timed(time);
    put_number(payload, region);
    write_record(type_region_gone, payload);
}

void RecordingWriter::counters(std::uint64_t time, const recorded::Counters& counters)
{
    std::string payload = timed(time);
    put_number(payload, counters.region);
    put_number(payload, counters.gets);
    put_number(payload, counters.resets);
    put_number(payload, counters.pages);
    put_number(payload, counters.measured);
    put_number(payload, counters.kernel_ns);
    put_number(payload, counters.user_ns);
    put_number(payload, counters.errors);
    put_number(payload, counters.over_reports);
    write_record(type_counters, payload);
}

void RecordingWriter::sample(std::uint64_t time, const recorded::Sample& sample)
{
    std::string payload = timed(time);
    put_number(payload, sample.region);
    put_number(payload, sample.fresh ? 1 : 0);
    put_number(payload, sample.written);
    put_number(payload, sample.news.size());
    std::uint64_t at = 0;
    for (const PageRange& run : sample.news) {
        put_number(payload, run.start - at);
        put_number(payload, run.end - run.start);
        at = run.end;
    }
    write_record(type_sample, payload);
}

bool RecordingWriter::finish(std::uint64_t time, const recorded::End& end)
{
    std::string payload = timed(time);
    put_number(payload, static_cast<std::uint64_t>(end.reason));
    put_number(payload, end.looks);
    put_number(payload, end.look_ns);
    write_record(type_end, payload);
    if (std::fclose(file_.release()) != 0 && error_ == 0)
        error_ = errno;
    errno = error_;
    return error_ == 0;
}

} // namespace writewatch::tool
