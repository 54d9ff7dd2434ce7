// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The registry again and again: counters as rates.
#pragma once

#include "shim/tool/processes.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace writewatch::tool {

// Row::region of a process.
inline constexpr std::uint64_t whole_process = ~std::uint64_t{0};

// A process or a region, between the last look and this one.
struct Row {
    std::string segment; // of the process; with `region`, it says which row this is
    std::uint64_t region = whole_process; // its id
    registry::ProcessInfo process;        // without its regions
    registry::RegionInfo info;            // for a process: `range` is empty, counters are its total
    std::uint64_t bytes = 0;
    std::size_t regions = 1;

    registry::Counters step; // since the last look
    double gets_per_second = 0;
    double pages_per_second = 0;
    double time_share = 0; // of the time, in gets; estimated from those that were measured

    std::pair<std::string, std::uint64_t> key() const { return {segment, region}; }
};

enum class Sort : std::uint8_t { pid, program, address, size, gets, pages, cost, time };
inline constexpr std::size_t sort_count = 8;
const char* sort_name(Sort sort);
std::optional<Sort> sort_by_name(const std::string& name);

class Monitor {
  public:
    // Only this process's; 0: all.
    void choose(pid_t pid) { pid_ = pid; }
    pid_t chosen() const { return pid_; }

    // Where damaged segments are told; standard error by default.
    void tell(Tell tell) { tell_ = std::move(tell); }

    // Reads the registry; `now` in seconds. A row that was not there before has no rates yet.
    void look(double now);

    const std::vector<Row>& processes() const { return processes_; }
    const std::vector<Row>& regions() const { return regions_; }

  private:
    void add_row(std::vector<Row>& rows, Row row);

    struct Before {
        registry::Counters counters;
        double at = 0;
    };

    pid_t pid_ = 0;
    Tell tell_;
    double now_ = 0;
    std::map<std::pair<std::string, std::uint64_t>, Before> before_;
    std::map<std::pair<std::string, std::uint64_t>, Before> current_;
    std::vector<Row> processes_;
    std::vector<Row> regions_;
};

// Largest first for what is counted, smallest first for what is named; `reverse` turns it round.
void sort_rows(std::vector<Row>& rows, Sort sort, bool reverse);

} // namespace writewatch::tool
