// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/registry/reader.h"

#include "shim/core/latch_map.h"
#include "shim/registry/segment.h"
#include "shim/sys/clock.h"
#include "shim/sys/fork.h"
#include "shim/sys/log.h"
#include "shim/sys/process.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

namespace writewatch::registry {

namespace {

constexpr std::uintptr_t word_bytes = 64 * page_size; // that a word of bits covers

// Waits for a moment without a change: a writer is in one for some stores, unless it has lost its
// processor meanwhile.
class Patience {
  public:
    explicit Patience(std::uint64_t limit_ns) noexcept : end_(sys::monotonic_ns() + limit_ns) {}

    // False: it has lasted too long.
    bool wait() noexcept
    {
        constexpr unsigned sleeping = 1000; // for sys::back_off
        if (sys::monotonic_ns() >= end_)
            return false;
        sys::back_off(attempt_++ < 4 ? 0 : sleeping);
        return true;
    }

  private:
    std::uint64_t end_;
    unsigned attempt_ = 0;
};

// A whole table that never stands still is taken as it is, record by record.
constexpr unsigned table_attempts = 16;

template<typename T>
Result<void> read_object(const sys::SharedMemoryFile& file, std::uint64_t offset, T& out)
{
    return file.read(offset, std::as_writable_bytes(std::span(&out, 1)));
}

template<typename T>
Result<void> read_array(const sys::SharedMemoryFile& file, std::uint64_t offset,
                        std::vector<T>& out)
{
    return file.read(offset, std::as_writable_bytes(std::span(out)));
}

template<std::size_t Size> std::string to_text(const std::array<char, Size>& field)
{
    return {field.data(), ::strnlen(field.data(), Size)};
}

// Chunks of records, as the header tells: whole pages, inside the file.
Result<void> check_chunks(std::span<const std::uint64_t> offsets, std::uint32_t first,
                          std::size_t record, std::uint32_t count, std::uint64_t file_size)
{
    std::uint64_t capacity = 0;
    bool ended = false;
    for (unsigned k = 0; k < offsets.size(); ++k) {
        if (offsets[k] == 0) {
            ended = true;
            continue;
        }
        const std::uint64_t bytes = chunk_bytes(k, first, record);
        if (ended || offsets[k] % segment_page != 0 || offsets[k] < sizeof(Header) ||
            bytes > file_size || offsets[k] > file_size - bytes)
            return fail(EPROTO, "a chunk is not inside the file");
        capacity += std::uint64_t{first} << k;
    }
    if (count > capacity)
        return fail(EPROTO, "more records than chunks hold");
    return {};
}

Result<void> check(const Header& header, std::uint64_t file_size)
{
    if (header.magic != magic)
        return fail(EPROTO, "it does not begin as a registry does");
    if (header.version != layout_version)
        return fail(EPROTONOSUPPORT, "its layout has another version");
    if (header.header_bytes != sizeof(Header) || header.region_bytes != sizeof(RegionRecord) ||
        header.latch_bytes != sizeof(LatchRecord) || header.size > file_size)
        return fail(EPROTO, "its sizes are wrong");
    if (auto ok = check_chunks(header.region_chunk, first_region_chunk, sizeof(RegionRecord),
                               header.region_count, file_size);
        !ok)
        return ok;
    return check_chunks(header.latch_chunk, first_latch_chunk, sizeof(LatchRecord),
                        header.latch_count, file_size);
}

bool is_range(std::uint64_t base, std::uint64_t bytes)
{
    return bytes != 0 && base % page_size == 0 && bytes % page_size == 0 &&
           base < address_space_end && bytes <= address_space_end - base;
}

void add(Counters& to, const Counters& from)
{
    to.gets += from.gets;
    to.gets_with_reset += from.gets_with_reset;
    to.resets += from.resets;
    to.pages += from.pages;
    to.samples += from.samples;
    to.kernel_ns += from.kernel_ns;
    to.user_ns += from.user_ns;
    to.errors += from.errors;
    to.over_reports += from.over_reports;
}

// "PID.START.UNIQUE" after the prefix.
struct NameParts {
    pid_t pid = 0;
    std::uint64_t start_time = 0;
};
std::optional<NameParts> parse_name(std::string_view name)
{
    if (!name.starts_with(name_prefix))
        return std::nullopt;
    name.remove_prefix(std::string_view(name_prefix).size());
    NameParts parts;
    const char* const end = name.data() + name.size();
    const auto pid = std::from_chars(name.data(), end, parts.pid);
    if (pid.ec != std::errc() || pid.ptr == end || *pid.ptr != '.' || parts.pid <= 0)
        return std::nullopt;
    const auto start = std::from_chars(pid.ptr + 1, end, parts.start_time);
    if (start.ec != std::errc() || start.ptr == end || *start.ptr != '.')
        return std::nullopt;
    std::uint64_t unique = 0;
    const auto last = std::from_chars(start.ptr + 1, end, unique, 16);
    if (last.ec != std::errc() || last.ptr != end)
        return std::nullopt;
    return parts;
}

bool is_running(const NameParts& parts)
{
    const auto start_time = sys::start_time_of(parts.pid);
    // Not to be seen (hidepid) is not to be gone.
    return start_time ? *start_time == parts.start_time : start_time.error().code != ESRCH;
}

// Removes what a process that is gone left behind; true if it is that. A live one's cannot be hit:
// its maker takes the lock before it says "ready" and holds it as long as its address space exists,
// so ready and then not locked means gone (the process may run on, after exec). One that is not
// ready belongs to who the name says; should that be a pid of another namespace, its maker sees
// that the name is gone, and makes another. And a name is never used twice, so what is removed here
// is not somebody else's by now.
bool sweep_if_dead(const SegmentReader& segment, const NameParts& parts)
{
    if (segment.alive())
        return false;
    const bool gone = segment.is_ready() ? !segment.alive() : !is_running(parts);
    return gone && sys::remove_shared_memory(segment.name().c_str()).has_value();
}

} // namespace

Result<SegmentReader> SegmentReader::open(const std::string& name)
{
    auto file = sys::SharedMemoryFile::open(name.c_str(), sys::SharedMemoryFile::Access::read);
    if (!file)
        return tl::unexpected(file.error());
    return SegmentReader(name, std::move(*file));
}

bool SegmentReader::is_ready() const noexcept
{
    HeaderState state{};
    return file_.read(offsetof(Header, state), std::as_writable_bytes(std::span(&state, 1))) &&
           state == HeaderState::ready;
}

bool SegmentReader::alive() const noexcept
{
    return file_.is_locked();
}

Result<Header> SegmentReader::read_header() const
{
    const auto size = file_.size();
    if (!size)
        return tl::unexpected(size.error());
    Header header;
    if (*size < sizeof(header))
        return fail(*size == 0 ? EAGAIN : EPROTO, "it is too short");
    if (auto ok = read_object(file_, 0, header); !ok)
        return tl::unexpected(ok.error());
    if (header.state == HeaderState::unfinished)
        return fail(EAGAIN, "its owner is just making it");
    if (auto ok = check(header, *size); !ok)
        return tl::unexpected(ok.error());
    return header;
}

// Each record on its own is as it was at one moment; `out` has them sorted.
Result<void> SegmentReader::read_regions(const Header& header, std::vector<RegionInfo>& out) const
{
    std::uint32_t number = 0;
    Patience patience(patience_ns_);
    for (unsigned k = 0; k < region_chunks && number < header.region_count; ++k) {
        const std::uint32_t in_chunk =
            std::min(first_region_chunk << k, header.region_count - number);
        // The sequences before and after, and in between what they are about. pread(2) copies one
        // after the other.
        std::array<std::vector<RegionRecord>, 3> copies;
        for (auto& copy : copies)
            copy.resize(in_chunk);
        const std::uint64_t offset = header.region_chunk[k];
        for (auto& copy : copies) {
            if (auto ok = read_array(file_, offset, copy); !ok)
                return ok;
        }
        for (std::uint32_t i = 0; i < in_chunk; ++i) {
            std::uint32_t before = copies[0][i].sequence;
            RegionRecord record = copies[1][i];
            std::uint32_t after = copies[2][i].sequence;
            while (before != after || before % 2 != 0) {
                if (!patience.wait())
                    return fail(EPROTO, "a record never stands still");
                const std::uint64_t at = offset + std::uint64_t{i} * sizeof(RegionRecord);
                auto ok = read_object(file_, at, before);
                if (ok)
                    ok = read_object(file_, at, record);
                if (ok)
                    ok = read_object(file_, at, after);
                if (!ok)
                    return ok;
            }
            if (record.state == RecordState::unused)
                continue;
            if (record.state != RecordState::live || !is_range(record.base, record.bytes) ||
                record.mode > RegionMode::armed_huge)
                return fail(EPROTO, "a region makes no sense");
            out.push_back({record.id,
                           {record.base, record.base + record.bytes},
                           record.created,
                           record.protection,
                           record.mode,
                           record.counters,
                           0});
        }
        number += in_chunk;
    }
    std::sort(out.begin(), out.end(), [](const RegionInfo& a, const RegionInfo& b) {
        return a.range.start < b.range.start;
    });
    return {};
}

// All latch records in use, as they were at one moment.
template<typename Visitor>
Result<void> SegmentReader::visit_latch_records(const Header& header, Visitor visit) const
{
    std::uint32_t number = 0;
    for (unsigned k = 0; k < latch_chunks && number < header.latch_count; ++k) {
        std::vector<LatchRecord> records(
            std::min(first_latch_chunk << k, header.latch_count - number));
        if (auto ok = read_array(file_, header.latch_chunk[k], records); !ok)
            return ok;
        for (std::size_t i = 0; i < records.size(); ++i) {
            if (!is_range(records[i].window, latch_window_bytes) ||
                records[i].window % latch_window_bytes != 0)
                return fail(EPROTO, "a window of latched pages makes no sense");
            visit(records[i], header.latch_chunk[k] + i * sizeof(LatchRecord));
        }
        number += static_cast<std::uint32_t>(records.size());
    }
    return {};
}

namespace {

// What is latched, as far as nobody else has taken it over.
std::uint64_t latched_word(const LatchRecord& record, std::size_t word)
{
    const std::uint64_t cleared =
        record.cleared_version == record.version ? record.cleared[word] : 0;
    return record.words[word] & ~cleared;
}

} // namespace

Result<LatchedPages> SegmentReader::read_latched(PageRange range) const
{
    Patience patience(patience_ns_);
    do {
        const auto before = read_header();
        if (!before)
            return tl::unexpected(before.error());
        if ((before->flags & latches_incomplete) != 0)
            return fail(ENOBUFS, "not all latched pages are published", range);
        if (before->latch_sequence % 2 != 0)
            continue;
        LatchedPages pages;
        const auto visited = visit_latch_records(*before, [&](const LatchRecord& record, auto) {
            const PageRange window{record.window, record.window + latch_window_bytes};
            if (!window.overlaps(range))
                return;
            pages.versions[record.window] = record.version;
            for (std::size_t i = 0; i < record.words.size(); ++i) {
                const std::uintptr_t at = record.window + i * word_bytes;
                const std::uint64_t bits = latched_word(record, i) & core::word_mask(at, range);
                if (bits != 0)
                    pages.bits[at] = bits;
            }
        });
        std::uint64_t after = 0;
        if (auto ok = read_object(file_, offsetof(Header, latch_sequence), after); !ok)
            return tl::unexpected(ok.error());
        if (after != before->latch_sequence)
            continue;
        if (!visited)
            return tl::unexpected(visited.error());
        return pages;
    } while (patience.wait());
    return fail(EPROTO, "latched pages never stand still", range);
}

Result<void> SegmentReader::request_reset(const LatchedPages& seen, const PageBits& pages) const
{
    if (pages.empty())
        return {};
    const auto file =
        sys::SharedMemoryFile::open(name_.c_str(), sys::SharedMemoryFile::Access::read_write);
    if (!file)
        return tl::unexpected(file.error());
    // One requester at a time; released when the file is closed.
    if (auto ok = file->lock_byte(0); !ok)
        return ok;
    const auto header = read_header();
    if (!header)
        return tl::unexpected(header.error());
    Result<void> written;
    const auto visited = visit_latch_records(*header, [&](const LatchRecord& record, auto offset) {
        const auto version = seen.versions.find(record.window);
        // Latched again since: what was seen does not count any more, and is reported once more.
        if (!written || version == seen.versions.end() || version->second != record.version)
            return;
        std::array<std::uint64_t, 64> cleared{};
        if (record.cleared_version == record.version)
            cleared = record.cleared;
        bool any = false;
        for (auto word = pages.lower_bound(record.window);
             word != pages.end() && word->first < record.window + latch_window_bytes; ++word) {
            cleared[(word->first - record.window) / word_bytes] |= word->second;
            any = true;
        }
        if (!any)
            return;
        const auto put = [&](std::size_t at, const auto& value) {
            if (written)
                written = file->write(offset + at, std::as_bytes(std::span(&value, 1)));
        };
        // The mask of another version must not be taken for this one's.
        if (record.cleared_version != record.version)
            put(offsetof(LatchRecord, cleared_version), std::uint32_t{0});
        put(offsetof(LatchRecord, cleared), cleared);
        put(offsetof(LatchRecord, cleared_version), record.version);
    });
    return visited ? written : visited;
}

Result<Header> SegmentReader::read_table(std::vector<RegionInfo>& regions) const
{
    Patience patience(patience_ns_);
    for (unsigned attempt = 0;; ++attempt) {
        const bool last = attempt == table_attempts || (attempt > 0 && !patience.wait());
        auto header = read_header();
        if (!header)
            return header;
        if (header->region_changes % 2 != 0 && !last)
            continue;
        regions.clear();
        auto ok = read_regions(*header, regions);
        std::uint64_t changes = 0;
        if (ok)
            ok = read_object(file_, offsetof(Header, region_changes), changes);
        if (!ok)
            return tl::unexpected(ok.error());
        if (changes == header->region_changes || last)
            return header;
    }
}

Result<void> SegmentReader::count_latched(std::vector<RegionInfo>& regions) const
{
    const auto latched = read_latched({0, address_space_end});
    if (!latched)
        return latched.error().code == ENOBUFS ? Result<void>() : tl::unexpected(latched.error());
    for (RegionInfo& region : regions) {
        auto word = latched->bits.lower_bound(region.range.start & ~(word_bytes - 1));
        for (; word != latched->bits.end() && word->first < region.range.end; ++word)
            region.latched_pages += static_cast<std::uint64_t>(
                std::popcount(word->second & core::word_mask(word->first, region.range)));
    }
    return {};
}

Result<ProcessInfo> SegmentReader::read() const
{
    ProcessInfo info;
    const auto header = read_table(info.regions);
    if (!header)
        return tl::unexpected(header.error());
    info.segment = name_;
    info.pid = static_cast<pid_t>(header->pid);
    info.start_time = header->start_time;
    info.same_pid_namespace = header->pid_namespace == sys::own_pid_namespace();
    info.windows_pid = header->windows_pid;
    info.host = header->host;
    info.image = to_text(header->image);
    info.prefix = to_text(header->prefix);
    info.prefix_device = header->prefix_device;
    info.prefix_inode = header->prefix_inode;
    info.library_version = to_text(header->library_version);
    info.backend = to_text(header->backend);
    info.backend_reason = to_text(header->backend_reason);
    info.created = header->created;
    info.region_changes = header->region_changes / 2;
    info.regions_incomplete = (header->flags & regions_incomplete) != 0;
    info.latches_incomplete = (header->flags & latches_incomplete) != 0;
    info.total = header->retired;
    for (const RegionInfo& region : info.regions)
        add(info.total, region.counters);
    if (header->latch_count > 0) {
        if (auto ok = count_latched(info.regions); !ok)
            return tl::unexpected(ok.error());
    }
    if (!alive())
        return fail(ESRCH, "its owner has ended");
    return info;
}

Result<std::uint64_t> SegmentReader::region_changes() const
{
    const auto header = read_header();
    if (!header)
        return tl::unexpected(header.error());
    return header->region_changes;
}

Result<RegionTable> SegmentReader::read_regions() const
{
    RegionTable table;
    const auto header = read_table(table.regions);
    if (!header)
        return tl::unexpected(header.error());
    table.host = header->host;
    table.backend = to_text(header->backend);
    table.changes = header->region_changes;
    return table;
}

Result<Listing> list()
{
    auto names = sys::list_shared_memory(name_prefix);
    if (!names)
        return tl::unexpected(names.error());
    std::sort(names->begin(), names->end());
    Listing listing;
    for (const std::string& name : *names) {
        const auto skip = [&](std::string reason) {
            listing.skipped.push_back({name, std::move(reason)});
        };
        const auto parts = parse_name(name);
        if (!parts) {
            skip("its name is not a segment's");
            continue;
        }
        const auto segment = SegmentReader::open(name);
        if (!segment) {
            // Another user's, or one that went meanwhile, is nothing to report.
            if (segment.error().code != ENOENT && sys::is_own_shared_memory(name.c_str()))
                skip(describe(segment.error()));
            continue;
        }
        if (sweep_if_dead(*segment, *parts)) {
            ++listing.swept;
            continue;
        }
        auto info = segment->read();
        if (!info && sweep_if_dead(*segment, *parts)) {
            ++listing.swept;
            continue;
        }
        if (!info) {
            if (info.error().code == EAGAIN || info.error().code == ESRCH)
                continue; // it begins or ends just now
            skip(describe(info.error()));
            continue;
        }
        // Who it says it is must be who made it.
        if (info->same_pid_namespace &&
            (info->pid != parts->pid || info->start_time != parts->start_time)) {
            skip("its name belongs to another process");
            continue;
        }
        if (info->same_pid_namespace && !is_running(*parts))
            continue; // it ends just now
        listing.processes.push_back(std::move(*info));
    }
    std::sort(listing.processes.begin(), listing.processes.end(),
              [](const ProcessInfo& a, const ProcessInfo& b) { return a.pid < b.pid; });
    return listing;
}

std::size_t sweep(std::size_t most) noexcept
{
    std::size_t swept = 0;
    try {
        const auto names = sys::list_shared_memory(name_prefix);
        if (!names)
            return 0;
        for (const std::string& name : *names) {
            const auto parts = parse_name(name);
            if (most == 0)
                break;
            if (!parts)
                continue;
            --most;
            const auto segment = SegmentReader::open(name);
            if (segment && sweep_if_dead(*segment, *parts))
                ++swept;
        }
    } catch (...) { // out of memory: the next one sweeps
    }
    return swept;
}

std::vector<std::string> segments_of(pid_t pid)
{
    const auto names = sys::list_shared_memory(name_prefix + std::to_string(pid) + ".");
    return names ? *names : std::vector<std::string>();
}

Result<std::vector<ProcessInfo>> read_process(pid_t pid)
{
    std::vector<ProcessInfo> found;
    for (const std::string& name : segments_of(pid)) {
        const auto parts = parse_name(name);
        const auto segment = SegmentReader::open(name);
        if (!parts || !segment || sweep_if_dead(*segment, *parts))
            continue;
        auto info = segment->read();
        if (info)
            found.push_back(std::move(*info));
        else if (info.error().code != ESRCH && info.error().code != EAGAIN)
            return tl::unexpected(info.error());
    }
    return found;
}

} // namespace writewatch::registry
