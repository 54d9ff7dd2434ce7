// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/monitor.h"

#include <algorithm>
#include <array>
#include <tuple>

namespace writewatch::tool {

namespace {

constexpr std::array<const char*, sort_count> sort_names{"pid",  "program", "address", "size",
                                                         "gets", "pages",   "cost",    "time"};

// Ascending; negated where the largest comes first.
double rank(const Row& row, Sort sort)
{
    switch (sort) {
    case Sort::pid:
        return row.process.pid;
    case Sort::address:
        return static_cast<double>(row.info.range.start);
    case Sort::size:
        return -static_cast<double>(row.bytes);
    case Sort::gets:
        return -row.gets_per_second;
    case Sort::pages:
        return -row.pages_per_second;
    case Sort::cost:
        return -mean_get_ns(row.info.counters).value_or(0);
    case Sort::time:
        return -row.time_share;
    case Sort::program:
        break;
    }
    return 0;
}

} // namespace

const char* sort_name(Sort sort)
{
    return sort_names[static_cast<std::size_t>(sort)];
}

std::optional<Sort> sort_by_name(const std::string& name)
{
    const auto* const found = std::find(sort_names.begin(), sort_names.end(), name);
    if (found == sort_names.end())
        return std::nullopt;
    return static_cast<Sort>(found - sort_names.begin());
}

void Monitor::add_row(std::vector<Row>& rows, Row row)
{
    if (const auto found = before_.find(row.key()); found != before_.end()) {
        const double seconds = now_ - found->second.at;
        row.step = difference(row.info.counters, found->second.counters);
        if (seconds > 0) {
            row.gets_per_second = static_cast<double>(all_gets(row.step)) / seconds;
            row.pages_per_second = static_cast<double>(row.step.pages) / seconds;
            // What was measured lately, or else ever.
            const auto mean = mean_get_ns(row.step.samples != 0 ? row.step : row.info.counters);
            row.time_share = mean.value_or(0) * 1e-9 * row.gets_per_second;
        }
    }
    current_[row.key()] = {row.info.counters, now_};
    rows.push_back(std::move(row));
}

void Monitor::look(double now)
{
    now_ = now;
    processes_.clear();
    regions_.clear();
    std::vector<registry::ProcessInfo> all = load_processes(tell_);
    for (registry::ProcessInfo& process : all) {
        if (pid_ != 0 && process.pid != pid_)
            continue;
        Row whole;
        whole.bytes = watched_bytes(process);
        whole.regions = process.regions.size();
        std::vector<registry::RegionInfo> regions = std::move(process.regions);
        process.regions.clear();
        whole.segment = process.segment;
        whole.process = process;
        whole.info.counters = process.total;
        for (const registry::RegionInfo& region : regions) {
            whole.info.latched_pages += region.latched_pages;
            Row row;
            row.segment = process.segment;
            row.region = region.id;
            row.process = process;
            row.info = region;
            row.bytes = region.range.bytes();
            add_row(regions_, std::move(row));
        }
        add_row(processes_, std::move(whole));
    }
    before_ = std::move(current_);
    current_.clear();
}

void sort_rows(std::vector<Row>& rows, Sort sort, bool reverse)
{
    std::stable_sort(rows.begin(), rows.end(), [&](const Row& left, const Row& right) {
        const Row& a = reverse ? right : left;
        const Row& b = reverse ? left : right;
        if (sort == Sort::program) {
            const std::string x = short_name(a.process.image);
            const std::string y = short_name(b.process.image);
            return std::tie(x, a.process.pid) < std::tie(y, b.process.pid);
        }
        return rank(a, sort) < rank(b, sort);
    });
}

} // namespace writewatch::tool
