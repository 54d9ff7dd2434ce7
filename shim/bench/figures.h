// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What this process costs the system, beside time.
#pragma once

namespace bench {

struct Figures {
    double page_tables_kib = 0; // VmPTE
    double resident_kib = 0;    // VmRSS
    double mappings = 0;        // VMAs: lines of /proc/self/maps
    double faults = 0;          // minor page faults so far, all threads
};

Figures current_figures();
Figures operator-(const Figures& left, const Figures& right);

// Resident memory page by page (smaps_rollup): exact, where VmRSS may be off by some hundred KiB,
// and slow.
double exact_resident_kib();

// Minor faults alone: cheap enough to ask around a measurement.
double fault_count();

} // namespace bench
