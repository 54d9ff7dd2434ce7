// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/report_data.h"

#include "shim/tool/recording.h"
#include "shim/tool/text.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>
#include <vector>

namespace writewatch::tool {

namespace {

using Json = nlohmann::ordered_json;

// What fits a page and a screen.
constexpr std::uint64_t max_columns = 420;
constexpr std::uint64_t max_rows = 160;
constexpr std::size_t max_maps = 12;
constexpr std::size_t max_regions = 500;
constexpr std::size_t max_points = 2000;
constexpr std::size_t min_buckets = 16;

// The sum of both, field by field.
void add(recorded::Counters& sum, const recorded::Counters& step)
{
    sum.gets += step.gets;
    sum.resets += step.resets;
    sum.pages += step.pages;
    sum.measured += step.measured;
    sum.kernel_ns += step.kernel_ns;
    sum.user_ns += step.user_ns;
    sum.errors += step.errors;
    sum.over_reports += step.over_reports;
}

struct RegionSummary {
    recorded::Region region;
    std::uint64_t from = 0;
    std::optional<std::uint64_t> to;
    recorded::Counters totals;
    std::uint64_t looks = 0;
    std::uint64_t news = 0;       // pages seen being written
    std::uint64_t first_page = 0; // of those seen
    std::uint64_t end_page = 0;
};

// The first pass: who, what, and between which bounds.
class Summary : public RecordingVisitor {
  public:
    recorded::Start begin;
    std::vector<recorded::Process> processes;
    std::vector<RegionSummary> regions;
    recorded::End ending;
    std::uint64_t duration = 0;

    // Time begins with the first region: a program may take a while to start.
    std::uint64_t origin() const { return regions.empty() ? 0 : regions.front().from; }

    RegionSummary& of(std::uint64_t id) { return regions[index_.at(id)]; }

    void start(const recorded::Start& start) override { begin = start; }
    void process(const recorded::Process& process) override { processes.push_back(process); }

    void region(std::uint64_t time, const recorded::Region& region) override
    {
        index_[region.id] = regions.size();
        regions.push_back({region, time, std::nullopt, {}, 0, 0, 0, 0});
    }

    void region_gone(std::uint64_t time, std::uint64_t region) override { of(region).to = time; }

    void counters(std::uint64_t, const recorded::Counters& step) override
    {
        add(of(step.region).totals, step);
    }

    void sample(std::uint64_t, const recorded::Sample& sample) override
    {
        RegionSummary& region = of(sample.region);
        ++region.looks;
        if (sample.news.empty())
            return;
        region.first_page = region.news == 0 ? sample.news.front().start
                                             : std::min(region.first_page,
                                                        std::uint64_t{sample.news.front().start});
        region.end_page = std::max(region.end_page, std::uint64_t{sample.news.back().end});
        for (const PageRange& run : sample.news)
            region.news += run.end - run.start;
    }

    void end(std::uint64_t time, const recorded::End& end) override
    {
        duration = time;
        ending = end;
    }

  private:
    std::unordered_map<std::uint64_t, std::size_t> index_;
};

// Calls that each cost or returned `value`.
using Weighted = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

struct HeatMap {
    std::uint64_t first_page = 0;
    std::uint64_t pages_per_row = 1;
    std::uint64_t rows = 1;
    std::vector<std::uint32_t> pages; // newly written, by row and column
};

// The second pass: what happened in which column of time.
class Raster : public RecordingVisitor {
  public:
    Raster(const Summary& summary, std::uint64_t columns, std::uint64_t column_ns)
        : columns_(columns), column_ns_(column_ns), origin_(summary.origin()), gets(columns),
          pages(columns), waiting(columns)
    {
        std::vector<const RegionSummary*> written;
        for (const RegionSummary& region : summary.regions)
            if (region.news > 0)
                written.push_back(&region);
        std::stable_sort(written.begin(), written.end(),
                         [](const auto* a, const auto* b) { return a->news > b->news; });
        written.resize(std::min(written.size(), max_maps));
        for (const RegionSummary* region : written)
            maps.emplace(region->region.id, blank(*region));
    }

    void counters(std::uint64_t time, const recorded::Counters& step) override
    {
        const std::size_t column = column_at(time);
        gets[column] += step.gets;
        pages[column] += step.pages;
        if (maps.count(step.region) != 0) {
            std::vector<std::uint64_t>& of_region = gets_of_region[step.region];
            of_region.resize(columns_);
            of_region[column] += step.gets;
        }
        if (step.gets > 0)
            pages_per_call.emplace_back(step.pages / step.gets, step.gets);
        if (step.gets > 1)
            averaged_calls += step.gets;
        if (step.measured > 0) {
            const std::uint64_t each = (step.kernel_ns + step.user_ns) / step.measured;
            cost_per_call.emplace_back(each, step.measured);
            measured_at.emplace_back(time - origin_, each);
        }
    }

    void sample(std::uint64_t time, const recorded::Sample& sample) override
    {
        const std::size_t column = column_at(time);
        set_waiting(column, sample.region, sample.written);
        const auto found = maps.find(sample.region);
        if (found == maps.end())
            return;
        HeatMap& map = found->second;
        for (const PageRange& run : sample.news) {
            for (std::uint64_t page = run.start - map.first_page;
                 page < run.end - map.first_page;) {
                const std::uint64_t row = page / map.pages_per_row;
                const std::uint64_t end =
                    std::min((row + 1) * map.pages_per_row, run.end - map.first_page);
                map.pages[row * columns_ + column] += static_cast<std::uint32_t>(end - page);
                page = end;
            }
        }
    }

    void region_gone(std::uint64_t time, std::uint64_t region) override
    {
        set_waiting(column_at(time), region, 0);
    }

    void end(std::uint64_t, const recorded::End&) override { advance(waiting.size() - 1); }

  private:
    std::uint64_t columns_;
    std::uint64_t column_ns_;
    std::uint64_t origin_;
    std::unordered_map<std::uint64_t, std::uint64_t> last_written_; // by region
    std::uint64_t waiting_now_ = 0;
    std::size_t waiting_column_ = 0;

    // Columns in which nobody looked are as the one before.
    void advance(std::size_t column)
    {
        while (waiting_column_ < column)
            waiting[++waiting_column_] = waiting_now_;
    }

    // A column shows its highest moment. Regions are looked at one after the other: the sum is that
    // of their last looks.
    void set_waiting(std::size_t column, std::uint64_t region, std::uint64_t written)
    {
        const bool first_of_column = column > waiting_column_;
        advance(column);
        waiting_now_ += written - std::exchange(last_written_[region], written);
        waiting[column] = first_of_column ? waiting_now_ : std::max(waiting[column], waiting_now_);
    }

    std::size_t column_at(std::uint64_t time) const
    {
        return static_cast<std::size_t>(std::min((time - origin_) / column_ns_, columns_ - 1));
    }

    HeatMap blank(const RegionSummary& region) const
    {
        HeatMap map;
        const std::uint64_t region_pages = region.region.bytes >> page_shift;
        // All of the region, unless most of it was never written.
        map.first_page = region.first_page;
        std::uint64_t end = region.end_page;
        if ((end - map.first_page) * 4 >= region_pages) {
            map.first_page = 0;
            end = region_pages;
        }
        while ((end - map.first_page + map.pages_per_row - 1) / map.pages_per_row > max_rows)
            map.pages_per_row *= 2;
        map.first_page -= map.first_page % map.pages_per_row;
        map.rows = (end - map.first_page + map.pages_per_row - 1) / map.pages_per_row;
        map.pages.resize(map.rows * columns_);
        return map;
    }

  public:
    std::unordered_map<std::uint64_t, HeatMap> maps;
    std::unordered_map<std::uint64_t, std::vector<std::uint64_t>> gets_of_region;
    std::vector<std::uint64_t> gets;
    std::vector<std::uint64_t> pages;
    std::vector<std::uint64_t> waiting; // written pages that no get has taken yet
    Weighted pages_per_call;
    Weighted cost_per_call;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> measured_at; // time, ns of a call
    std::uint64_t averaged_calls = 0;
};

std::string base64(const std::string& bytes)
{
    constexpr const char* digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j)
            group =
                group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
        for (std::size_t j = 0; j < 4; ++j)
            text += i + j <= bytes.size() ? digits[group >> (18 - 6 * j) & 63U] : '=';
    }
    return text;
}

// A byte a cell: the share of its pages, 255 for all; anything written is at least 1.
Json heat_json(const HeatMap& map)
{
    std::string cells;
    cells.reserve(map.pages.size());
    for (const std::uint32_t pages : map.pages) {
        const std::uint64_t scaled =
            (std::uint64_t{pages} * 255 + map.pages_per_row - 1) / map.pages_per_row;
        cells += static_cast<char>(std::min<std::uint64_t>(scaled, 255));
    }
    return {{"first_page", map.first_page},
            {"pages_per_row", map.pages_per_row},
            {"rows", map.rows},
            {"cells", base64(cells)}};
}

Json percentiles(Weighted& values)
{
    if (values.empty())
        return nullptr;
    std::sort(values.begin(), values.end());
    std::uint64_t calls = 0;
    for (const auto& [value, weight] : values)
        calls += weight;
    const auto at = [&](double share) {
        const auto wanted =
            static_cast<std::uint64_t>(std::ceil(static_cast<double>(calls) * share));
        std::uint64_t seen = 0;
        for (const auto& [value, weight] : values) {
            seen += weight;
            if (seen >= wanted)
                return value;
        }
        return values.back().first;
    };
    return {{"p50", at(0.5)}, {"p90", at(0.9)}, {"p99", at(0.99)}, {"max", values.back().first}};
}

// Where buckets begin: at each number below 8, then four to an octave.
std::vector<std::uint64_t> bucket_bounds()
{
    std::vector<std::uint64_t> bounds{0, 1, 2, 3, 4, 5, 6, 7};
    for (unsigned octave = 3; octave < 62; ++octave)
        for (const double quarter : {1.0, 1.1892, 1.4142, 1.6818})
            bounds.push_back(static_cast<std::uint64_t>(
                std::ceil(quarter * static_cast<double>(std::uint64_t{1} << octave))));
    bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());
    return bounds;
}

Json histogram(Weighted& values)
{
    Json buckets = Json::array();
    if (!values.empty()) {
        static const std::vector<std::uint64_t> bounds = bucket_bounds();
        const auto bucket_of = [&](std::uint64_t value) {
            return static_cast<std::size_t>(std::upper_bound(bounds.begin(), bounds.end(), value) -
                                            bounds.begin()) -
                   1;
        };
        std::vector<std::uint64_t> calls(bounds.size());
        std::size_t first = bounds.size();
        std::size_t last = 0;
        for (const auto& [value, weight] : values) {
            const std::size_t bucket = bucket_of(value);
            calls[bucket] += weight;
            first = std::min(first, bucket);
            last = std::max(last, bucket);
        }
        // A few empty ones on both sides show where the others lie.
        while (last - first + 1 < min_buckets) {
            first -= first > 0 ? 1U : 0U;
            last += last + 2 < bounds.size() ? 1U : 0U;
        }
        last = std::min(last, bounds.size() - 2);
        for (std::size_t bucket = first; bucket <= last; ++bucket)
            buckets.push_back(
                {{"from", bounds[bucket]}, {"to", bounds[bucket + 1]}, {"calls", calls[bucket]}});
    }
    return {{"buckets", std::move(buckets)}, {"percentiles", percentiles(values)}};
}

const char* ending_text(recorded::EndReason reason)
{
    switch (reason) {
    case recorded::EndReason::process_ended:
        return "when what was watched ended";
    case recorded::EndReason::time_over:
        return "after the time that was asked for";
    case recorded::EndReason::stopped:
        break;
    }
    return "when the recorder was stopped";
}

Json process_json(const recorded::Process& process)
{
    return {{"id", process.id},
            {"pid", process.pid},
            {"windows_pid", process.windows_pid},
            {"image", process.image},
            {"prefix", process.prefix},
            {"version", process.version},
            {"backend", process.backend}};
}

Json region_json(const RegionSummary& region, const Raster& raster, std::uint64_t origin,
                 std::uint64_t columns)
{
    const std::uint64_t id = region.region.id;
    const auto map = raster.maps.find(id);
    Json gets = nullptr;
    if (map != raster.maps.end()) {
        const auto found = raster.gets_of_region.find(id);
        gets = found != raster.gets_of_region.end() ? Json(found->second)
                                                    : Json(std::vector<std::uint64_t>(columns));
    }
    return {{"process", region.region.process},
            {"base", hex_address(region.region.base)},
            {"bytes", region.region.bytes},
            {"protection", region.region.protection},
            {"existed", region.region.existed},
            {"from_ns", region.from - origin},
            {"to_ns", region.to ? Json(*region.to - origin) : Json(nullptr)},
            {"gets", region.totals.gets},
            {"resets", region.totals.resets},
            {"pages", region.totals.pages},
            {"measured", region.totals.measured},
            {"kernel_ns", region.totals.kernel_ns},
            {"user_ns", region.totals.user_ns},
            {"errors", region.totals.errors},
            {"over_reports", region.totals.over_reports},
            {"looks", region.looks},
            {"news", region.news},
            {"gets_in_column", std::move(gets)},
            {"heat", map != raster.maps.end() ? heat_json(map->second) : Json(nullptr)}};
}

// Few of the points when there are many: the highest of each stretch is among them.
Json points_json(const std::vector<std::pair<std::uint64_t, std::uint64_t>>& points)
{
    const std::size_t stretch = points.size() / max_points + 1;
    Json list = Json::array();
    for (std::size_t i = 0; i < points.size(); i += stretch) {
        const auto begin = points.begin() + static_cast<std::ptrdiff_t>(i);
        const auto end =
            points.begin() + static_cast<std::ptrdiff_t>(std::min(i + stretch, points.size()));
        const auto highest = std::max_element(
            begin, end, [](const auto& a, const auto& b) { return a.second < b.second; });
        list.push_back({highest->first, highest->second});
    }
    return list;
}

Json totals_json(const std::vector<RegionSummary>& regions)
{
    recorded::Counters totals;
    std::uint64_t news = 0;
    for (const RegionSummary& region : regions) {
        add(totals, region.totals);
        news += region.news;
    }
    return {{"gets", totals.gets},
            {"resets", totals.resets},
            {"pages", totals.pages},
            {"measured", totals.measured},
            {"kernel_ns", totals.kernel_ns},
            {"user_ns", totals.user_ns},
            {"errors", totals.errors},
            {"over_reports", totals.over_reports},
            {"news", news}};
}

} // namespace

ReportData summarize(std::string_view recording)
{
    ReportData report;
    Summary summary;
    if ((report.mistake = read_recording(recording, summary)))
        return report;

    // A column holds two looks at least, or stripes would be holes between looks.
    const std::uint64_t origin = summary.origin();
    const std::uint64_t duration = std::max<std::uint64_t>(summary.duration - origin, 1);
    const std::uint64_t finest = std::max<std::uint64_t>(summary.begin.interval_ns, 500'000);
    const std::uint64_t columns = std::clamp<std::uint64_t>(duration / finest / 2, 1, max_columns);
    const std::uint64_t column_ns = (duration + columns - 1) / columns;
    Raster raster(summary, columns, column_ns);
    if ((report.mistake = read_recording(recording, raster)))
        return report;

    const Json totals = totals_json(summary.regions);
    std::stable_sort(summary.regions.begin(), summary.regions.end(),
                     [](const RegionSummary& a, const RegionSummary& b) {
                         return std::make_pair(a.totals.pages, a.news) >
                                std::make_pair(b.totals.pages, b.news);
                     });
    const std::size_t shown = std::min(summary.regions.size(), max_regions);
    Json regions = Json::array();
    for (std::size_t i = 0; i < shown; ++i)
        regions.push_back(region_json(summary.regions[i], raster, origin, columns));
    Json processes = Json::array();
    for (const recorded::Process& process : summary.processes)
        processes.push_back(process_json(process));

    report.document = {{"schema", "writewatch.report/1"},
                       {"version", summary.begin.version},
                       {"kernel", summary.begin.kernel},
                       {"command", summary.begin.command},
                       {"recorded_at_ns", summary.begin.wall_clock_ns},
                       {"recorded_ns", summary.duration},
                       {"origin_ns", origin},
                       {"duration_ns", duration},
                       {"interval_ns", summary.begin.interval_ns},
                       {"looks", summary.ending.looks},
                       {"look_ns", summary.ending.look_ns},
                       {"end", ending_text(summary.ending.reason)},
                       {"page_size", page_size},
                       {"columns", columns},
                       {"column_ns", column_ns},
                       {"processes", std::move(processes)},
                       {"totals", totals},
                       {"series",
                        {{"gets", raster.gets},
                         {"pages", raster.pages},
                         {"waiting", raster.waiting},
                         {"measured", points_json(raster.measured_at)}}},
                       {"pages_per_call", histogram(raster.pages_per_call)},
                       {"cost_per_call", histogram(raster.cost_per_call)},
                       {"averaged_calls", raster.averaged_calls},
                       {"regions", std::move(regions)},
                       {"regions_left_out", summary.regions.size() - shown}};
    return report;
}

} // namespace writewatch::tool
