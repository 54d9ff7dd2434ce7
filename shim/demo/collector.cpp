// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The bundled demo: a small incremental collector on Windows' write watches. One source, two
// programs: with mingw-w64 a Windows program (for Wine and Windows), natively one that uses
// libwritewatch-win32.
//
// Read heap.h (memory with a watch), snapshot.cpp (asking what was written), then collection.cpp
// (the collector's loop).
#include <cstdio>
#include <exception>

#include "shim/demo/collection.h"
#include "shim/demo/heap.h"
#include "shim/demo/options.h"
#include "shim/demo/report.h"
#include "shim/demo/snapshot.h"
#include "shim/demo/write_cost.h"

namespace {

int run(const demo::Options& options)
{
    demo::Heap heap(options.heap_mib << 20);
    demo::Snapshot snapshot(heap, options.array ? options.array : heap.pages());
    demo::Report report;
    report.heap_pages = heap.pages();

    // Build the heap: every object refers to the next one.
    for (std::size_t object = 0; object < heap.objects(); ++object)
        heap.write(object, 0, (object + 1) % heap.objects());
    report.first_pass_pages = snapshot.update().pages;

    constexpr unsigned cost_rounds = 12;
    report.cost = demo::measure_write_cost(heap, snapshot, cost_rounds);

    if (options.lose_a_page)
        snapshot.lose_a_page();
    const std::uint64_t writes = options.writes ? options.writes : heap.pages() / 4;
    report.collection = demo::collect_while_threads_write(
        heap, snapshot, {options.threads, options.rounds, writes, options.seed});

    report.first_difference = snapshot.first_difference();
    (options.json ? demo::print_json : demo::print_text)(options, report);
    return report.first_difference ? 1 : 0;
}

} // namespace

int main(int argc, char** argv)
{
    demo::Options options;
    switch (demo::parse(argc, argv, options)) {
    case demo::Parsed::help_shown:
        return 0;
    case demo::Parsed::wrong:
        return 64;
    case demo::Parsed::run:
        break;
    }
    try {
        return run(options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "collector: %s\n", error.what());
        return 1;
    }
}
