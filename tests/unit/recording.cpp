// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The recording format: what is written is read again; what is damaged is refused, or gives a
// report, and never anything else.
#include "shim/tool/recording.h"
#include "shim/tool/report_data.h"
#include "tests/support/catch.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

using namespace writewatch;
using namespace writewatch::tool;

std::optional<test::Missing> test::missing()
{
    return std::nullopt;
}

namespace {

class TemporaryFile {
  public:
    TemporaryFile()
    {
        char name[] = "/tmp/writewatch-recording-XXXXXX";
        const int file = mkstemp(name);
        REQUIRE(file >= 0);
        close(file);
        path_ = name;
    }
    ~TemporaryFile() { std::remove(path_.c_str()); }
    const std::string& path() const { return path_; }
    std::string bytes() const
    {
        std::ifstream file(path_, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }

  private:
    std::string path_;
};

constexpr std::uint64_t base = 0x7f00'0000'0000;
constexpr std::uint64_t pages = 1024;

// Two regions, one of which ends; three looks; four steps of counters.
std::string small_recording()
{
    const TemporaryFile file;
    auto writer = RecordingWriter::create(file.path());
    REQUIRE(writer);
    writer->start({1'700'000'000'000'000'000, 1'000'000, "1.2.3", "6.18", "wine game.exe"});
    writer->process({0, 4711, 32, "C:\\game.exe", "/home/a/.wine", "1.2.3", "pagemap-scan"});
    writer->region(0, {7, 0, base, pages * page_size, "read/write", true});
    writer->sample(1'000'000, {7, false, 12, {{0, 2}, {10, 20}}});
    writer->counters(2'000'000, {7, 1, 0, 12, 1, 30'000, 2'000, 0, 0});
    writer->sample(2'100'000, {7, true, 3, {{500, 503}}});
    writer->region(2'200'000, {8, 0, base + (std::uint64_t{1} << 32), 16 * page_size, "", false});
    writer->counters(3'000'000, {7, 4, 1, 400, 0, 0, 0, 1, 2});
    writer->sample(3'100'000, {8, false, 16, {{0, 16}}});
    writer->region_gone(4'000'000, 8);
    REQUIRE(writer->finish(9'000'000, {recorded::EndReason::stopped, 3, 90'000}));
    std::string bytes = file.bytes();
    CHECK(bytes.size() == writer->bytes());
    return bytes;
}

// Everything, as text.
class Transcript : public RecordingVisitor {
  public:
    std::string text;

    void start(const recorded::Start& start) override
    {
        add("start", start.wall_clock_ns, start.interval_ns);
        text += start.version + " " + start.kernel + " " + start.command + "\n";
    }
    void process(const recorded::Process& process) override
    {
        add("process", process.id, process.pid, process.windows_pid);
        text += process.image + " " + process.prefix + " " + process.backend + "\n";
    }
    void region(std::uint64_t time, const recorded::Region& region) override
    {
        add("region", time, region.id, region.base, region.bytes, region.existed ? 1 : 0);
        text += region.protection + "\n";
    }
    void region_gone(std::uint64_t time, std::uint64_t region) override
    {
        add("gone", time, region);
    }
    void counters(std::uint64_t time, const recorded::Counters& step) override
    {
        add("counters", time, step.region, step.gets, step.resets, step.pages, step.measured,
            step.kernel_ns, step.user_ns, step.errors, step.over_reports);
    }
    void sample(std::uint64_t time, const recorded::Sample& sample) override
    {
        add("sample", time, sample.region, sample.fresh ? 1 : 0, sample.written);
        for (const PageRange& run : sample.news)
            add("run", run.start, run.end);
    }
    void end(std::uint64_t time, const recorded::End& end) override
    {
        add("end", time, static_cast<int>(end.reason), end.looks, end.look_ns);
    }

  private:
    template<typename... Numbers> void add(const char* what, Numbers... numbers)
    {
        text += what;
        ((text += " " + std::to_string(numbers)), ...);
        text += "\n";
    }
};

// A hand-made file: magic, version 1, records.
std::string file_of(const std::vector<std::string>& records)
{
    std::string bytes("WWREC\r\n\x1a\x01", 9);
    for (const std::string& record : records)
        bytes += record;
    return bytes;
}

// `payload`: shorter than 128 bytes.
std::string record(int type, const std::string& payload)
{
    return std::string{static_cast<char>(type), static_cast<char>(payload.size())} + payload;
}

// Numbers below 128 as they are stored.
std::string numbers(std::initializer_list<int> values)
{
    std::string bytes;
    for (const int value : values)
        bytes += static_cast<char>(value);
    return bytes;
}

const std::string start_record = record(1, numbers({0, 1, 0, 0, 0}));
const std::string process_record = record(2, numbers({1, 1, 0, 0, 0, 0, 0}));
// Region 5: one of 4 pages at address 4096 (two-byte numbers: 0x80 0x20 is 4096).
const std::string region_record =
    record(3, numbers({0, 5, 1, 0x80, 0x20}) + "\x80\x80\x01" + numbers({0, 0}));
const std::string end_record = record(7, numbers({1, 0, 0, 0}));

std::optional<std::string> mistake_of(const std::string& bytes)
{
    RecordingVisitor nobody;
    return read_recording(bytes, nobody);
}

} // namespace

TEST_CASE("what is written is read again", "[recording]")
{
    Transcript transcript;
    CHECK_FALSE(read_recording(small_recording(), transcript));
    CHECK(transcript.text == "start 1700000000000000000 1000000\n"
                             "1.2.3 6.18 wine game.exe\n"
                             "process 0 4711 32\nC:\\game.exe /home/a/.wine pagemap-scan\n"
                             "region 0 7 139637976727552 4194304 1\nread/write\n"
                             "sample 1000000 7 0 12\nrun 0 2\nrun 10 20\n"
                             "counters 2000000 7 1 0 12 1 30000 2000 0 0\n"
                             "sample 2100000 7 1 3\nrun 500 503\n"
                             "region 2200000 8 139642271694848 65536 0\n\n"
                             "counters 3000000 7 4 1 400 0 0 0 1 2\n"
                             "sample 3100000 8 0 16\nrun 0 16\n"
                             "gone 4000000 8\n"
                             "end 9000000 1 3 90000\n");
}

TEST_CASE("a report has the sums of what was recorded", "[recording]")
{
    const ReportData report = summarize(small_recording());
    REQUIRE_FALSE(report.mistake);
    const auto& document = report.document;
    CHECK(document["schema"] == "writewatch.report/1");
    CHECK(document["duration_ns"] == 9'000'000);
    CHECK(document["totals"]["gets"] == 5);
    CHECK(document["totals"]["resets"] == 1);
    CHECK(document["totals"]["pages"] == 412);
    CHECK(document["totals"]["measured"] == 1);
    CHECK(document["totals"]["kernel_ns"] == 30'000);
    CHECK(document["totals"]["errors"] == 1);
    CHECK(document["totals"]["news"] == 31);
    REQUIRE(document["regions"].size() == 2);
    CHECK(document["regions"][0]["base"] == "0x7f0000000000");
    CHECK(document["regions"][0]["existed"] == true);
    CHECK(document["regions"][1]["to_ns"] == 4'000'000);
    // One call returned 12 pages; four together returned 400.
    CHECK(document["pages_per_call"]["percentiles"]["max"] == 100);
    CHECK(document["averaged_calls"] == 4);
    CHECK(document["cost_per_call"]["percentiles"]["p50"] == 32'000);
    // 12, then 3, then 3 and 16 of the other region, then 3 again.
    const auto& waiting = document["series"]["waiting"];
    CHECK(*std::max_element(waiting.begin(), waiting.end()) == 19);
    CHECK(waiting.back() == 3);
}

TEST_CASE("a recording that is cut short anywhere is refused", "[recording]")
{
    const std::string whole = small_recording();
    for (std::size_t length = 0; length < whole.size(); ++length) {
        const auto mistake = mistake_of(whole.substr(0, length));
        INFO("cut to " << length << " of " << whole.size());
        REQUIRE(mistake);
        CHECK_FALSE(mistake->empty());
    }
    CHECK(mistake_of(whole + '\0'));
    CHECK(mistake_of(whole + end_record));
}

TEST_CASE("a recording with any byte changed is refused or gives a report", "[recording]")
{
    const std::string whole = small_recording();
    std::size_t refused = 0;
    for (std::size_t at = 0; at < whole.size(); ++at) {
        for (int value = 0; value < 256; value += at < 64 ? 1 : 7) {
            std::string damaged = whole;
            damaged[at] = static_cast<char>(value);
            refused += summarize(damaged).mistake ? 1U : 0U;
        }
    }
    CHECK(refused > 1000);
}

TEST_CASE("random bytes behind a good beginning are refused or give a report", "[recording]")
{
    std::mt19937 random(1);
    for (int round = 0; round < 20'000; ++round) {
        std::string bytes = file_of({start_record, process_record, region_record});
        for (auto i = random() % 200; i > 0; --i)
            bytes += static_cast<char>(random() % 4 == 0 ? random() : random() % 8);
        (void)summarize(bytes + (round % 2 == 0 ? end_record : ""));
    }
}

TEST_CASE("the smallest recording is one", "[recording]")
{
    CHECK_FALSE(mistake_of(file_of({start_record, end_record})));
    CHECK_FALSE(mistake_of(file_of({start_record, process_record, region_record, end_record})));
    CHECK_FALSE(summarize(file_of({start_record, end_record})).mistake);
}

TEST_CASE("records and fields of later writers are skipped", "[recording]")
{
    CHECK_FALSE(mistake_of(file_of({start_record, record(99, "whatever"), end_record})));
    CHECK_FALSE(mistake_of(file_of({record(1, numbers({0, 1, 0, 0, 0, 42, 43})), end_record})));
}

TEST_CASE("each rule of the format has its refusal", "[recording]")
{
    const auto refused = [](const std::vector<std::string>& records) {
        const auto mistake = mistake_of(file_of(records));
        REQUIRE(mistake);
        return *mistake;
    };
    CHECK(mistake_of("") == "not a recording (see writewatch record)");
    CHECK(mistake_of(std::string("WWREC\r\n\x1a\x02", 9))->find("format 2") == 0);
    CHECK(refused({}).find("no end") != std::string::npos);
    CHECK(refused({end_record}).find("start") != std::string::npos);
    CHECK(refused({start_record, start_record}).find("two start") != std::string::npos);
    CHECK(refused({start_record, process_record, process_record}).find("twice") !=
          std::string::npos);
    CHECK(refused({start_record, region_record}).find("no process") != std::string::npos);
    const std::vector<std::string> good{start_record, process_record, region_record};
    const auto with = [&](const std::string& last) {
        std::vector<std::string> records = good;
        records.push_back(last);
        return records;
    };
    CHECK(refused(with(region_record)).find("twice") != std::string::npos);
    CHECK(refused(with(record(4, numbers({0, 6})))).find("no region") != std::string::npos);
    CHECK(refused(with(record(5, numbers({0, 6, 1, 0, 0, 0, 0, 0, 0, 0})))).find("no region") !=
          std::string::npos);
    // Region 5 has 4 pages: a run past its end, an empty one, one too many for its bytes, more
    // written pages than there are.
    const std::string bounds = "out of bounds";
    CHECK(refused(with(record(6, numbers({0, 5, 0, 4, 1, 0, 5})))).find(bounds) !=
          std::string::npos);
    CHECK(refused(with(record(6, numbers({0, 5, 0, 4, 1, 0, 0})))).find(bounds) !=
          std::string::npos);
    CHECK(refused(with(record(6, numbers({0, 5, 0, 4, 2, 0, 1})))).find(bounds) !=
          std::string::npos);
    CHECK(refused(with(record(6, numbers({0, 5, 0, 5, 1, 0, 4})))).find(bounds) !=
          std::string::npos);
    CHECK_FALSE(mistake_of(file_of({start_record, process_record, region_record,
                                    record(6, numbers({0, 5, 0, 4, 1, 0, 4})), end_record})));
    // A time that runs over, a number of more than 64 bits, a text longer than its record.
    const std::string huge(9, '\xff');
    CHECK(refused(with(record(4, huge + "\x01" + numbers({5})))).find(bounds) != std::string::npos);
    CHECK(refused({start_record, record(2, std::string(11, '\xff'))}).find(bounds) !=
          std::string::npos);
    CHECK(refused({record(1, numbers({0, 1, 100}))}).find(bounds) != std::string::npos);
}

TEST_CASE("a full disk is told at the end", "[recording]")
{
    auto writer = RecordingWriter::create("/dev/full");
    REQUIRE(writer);
    writer->start({});
    CHECK_FALSE(writer->finish(1, {}));
    CHECK(errno == ENOSPC);
    CHECK_FALSE(RecordingWriter::create("/no/such/folder/file"));
}
