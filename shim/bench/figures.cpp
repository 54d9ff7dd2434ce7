// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/bench/figures.h"

#include <fstream>
#include <limits>
#include <string>
#include <sys/resource.h>

namespace bench {

Figures current_figures()
{
    Figures figures;
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        if (word == "VmPTE:")
            status >> figures.page_tables_kib;
        else if (word == "VmRSS:")
            status >> figures.resident_kib;
        status.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    }
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);)
        ++figures.mappings;
    figures.faults = fault_count();
    return figures;
}

double exact_resident_kib()
{
    std::ifstream rollup("/proc/self/smaps_rollup");
    double kib = 0;
    for (std::string word; rollup >> word;) {
        if (word == "Rss:") {
            rollup >> kib;
            break;
        }
    }
    return kib;
}

Figures operator-(const Figures& left, const Figures& right)
{
    return {left.page_tables_kib - right.page_tables_kib, left.resident_kib - right.resident_kib,
            left.mappings - right.mappings, left.faults - right.faults};
}

double fault_count()
{
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_minflt);
}

} // namespace bench
