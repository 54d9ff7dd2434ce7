// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/demo/report.h"

#include <cmath>
#include <cstdio>

#include "shim/demo/statistics.h"

namespace demo {

namespace {

unsigned long long integer(double value)
{
    return static_cast<unsigned long long>(std::llround(value));
}

} // namespace

void print_text(const Options& options, const Report& report)
{
    const WriteCost& cost = report.cost;
    const Collection& run = report.collection;
    std::printf("heap                    %zu MiB, %zu pages\n", options.heap_mib,
                report.heap_pages);
    std::printf("write to a clean page   %.2f us\n", cost.write_ns / 1e3);
    std::printf("get+reset               %.3f ms (%zu of %zu pages written)\n",
                cost.get_reset_ns / 1e6, cost.pages_per_round, report.heap_pages);
    std::printf("pages written, found    %zu, %zu\n", cost.pages_written, cost.pages_found);
    std::printf("collecting              %u threads, %u rounds\n", options.threads, options.rounds);
    std::printf("  total                 %.1f ms\n", static_cast<double>(run.total_ns) / 1e6);
    std::printf("  passes, calls, pages  %zu, %zu, %zu\n", run.passes, run.calls, run.pages_found);
    std::printf("  pause p50, p99, max   %.2f, %.2f, %.2f ms\n",
                percentile(run.pauses_ns, 50) / 1e6, percentile(run.pauses_ns, 99) / 1e6,
                percentile(run.pauses_ns, 100) / 1e6);
    if (report.first_difference)
        std::printf("snapshot                NOT EQUAL: differs at byte 0x%zx of the heap\n",
                    *report.first_difference);
    else
        std::printf("snapshot                equal\n");
}

void print_json(const Options& options, const Report& report)
{
    const WriteCost& cost = report.cost;
    const Collection& run = report.collection;
    std::printf("{\"schema\": \"writewatch.collector/1\", \"heap_bytes\": %zu, "
                "\"threads\": %u, \"rounds\": %u, \"seed\": %llu,\n",
                options.heap_mib << 20, options.threads, options.rounds,
                static_cast<unsigned long long>(options.seed));
    std::printf(" \"heap_pages\": %zu, \"first_pass_pages\": %zu, \"write_ns\": %.1f, "
                "\"get_reset_ns\": %llu, \"get_reset_pages\": %zu,\n",
                report.heap_pages, report.first_pass_pages, cost.write_ns,
                integer(cost.get_reset_ns), cost.pages_per_round);
    std::printf(" \"pages_written\": %zu, \"pages_found\": %zu,\n", cost.pages_written,
                cost.pages_found);
    std::printf(" \"total_ns\": %llu, \"passes\": %zu, \"calls\": %zu, "
                "\"concurrent_pages_found\": %zu,\n",
                static_cast<unsigned long long>(run.total_ns), run.passes, run.calls,
                run.pages_found);
    std::printf(" \"pause_p50_ns\": %llu, \"pause_p99_ns\": %llu, \"pause_max_ns\": %llu,\n",
                integer(percentile(run.pauses_ns, 50)), integer(percentile(run.pauses_ns, 99)),
                integer(percentile(run.pauses_ns, 100)));
    std::printf(" \"snapshot_equal\": %s}\n", report.first_difference ? "false" : "true");
}

} // namespace demo
