// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A huge page of hugetlb that a limit or the range cuts is neither lost nor skipped. It cannot be
// armed in part: the page that does not fit into max_pages is left for the next call, and a part
// that is all there is room for is reported but stays written. Mainline's walk goes on behind a
// page that did not fit, and says so in no way.
#include "tests/kernel/support.h"

using namespace kerneltest;

namespace {

constexpr std::size_t huge_pages = 4;

struct Result {
    std::size_t reported = 0; // 4 KiB pages, in ascending order
    std::size_t calls = 0;
    bool ascending = true;
};

// Gets and resets in calls of at most `max_pages` until walk_end reaches the end.
Result drain(const Tracker& tracker, const Memory& memory, std::size_t max_pages)
{
    Result result;
    std::uint64_t last = 0;
    PageRegion vec[64];
    PmScanArg arg = scan_arg(memory.start(), memory.size(), plain, pm_scan_wp_matching);
    set_vec(arg, vec, 64);
    arg.max_pages = max_pages;
    do {
        const int count = tracker.scan(arg);
        if (count < 0)
            die("PAGEMAP_SCAN");
        for (int i = 0; i < count; ++i) {
            result.reported += (vec[i].end - vec[i].start) / page_size;
            result.ascending &= vec[i].start >= last;
            last = vec[i].end;
        }
        if (++result.calls > 10'000 || (arg.walk_end <= arg.start && arg.walk_end < arg.end)) {
            std::fprintf(stderr, "FAILED: no progress with max_pages %zu\n", max_pages);
            ++failures;
            break;
        }
        arg.start = arg.walk_end;
    } while (arg.start < arg.end);
    return result;
}

} // namespace

int main()
{
    set_until_exit("/proc/sys/vm/nr_hugepages", std::to_string(2 * huge_pages));
    const Tracker tracker;
    const Memory memory(huge_pages * pages_per_huge_page, huge_page_size,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
    tracker.watch(memory);
    const auto write_all = [&memory] {
        for (std::size_t i = 0; i < huge_pages; ++i)
            memory.write(i * pages_per_huge_page);
    };

    // Limits that hold whole pages: each page is reported once and armed.
    for (const std::size_t max_pages : {512U, 513U, 600U, 1024U, 1500U, 2048U, 5000U}) {
        write_all();
        const Result result = drain(tracker, memory, max_pages);
        CHECK_EQ(result.reported, memory.pages());
        CHECK(result.ascending);
        CHECK_PAGES(tracker.pages(memory, plain), {});
    }

    // Limits that hold no whole page: every part is reported, nothing is armed, nothing is lost.
    for (const std::size_t max_pages : {1U, 100U, 511U}) {
        write_all();
        const Result result = drain(tracker, memory, max_pages);
        CHECK_EQ(result.reported, memory.pages());
        CHECK(result.ascending);
        CHECK_EQ(tracker.pages(memory, plain).size(), memory.pages());
        drain(tracker, memory, 0);
    }

    // A range that starts and ends inside huge pages
    write_all();
    PageRegion vec[8];
    PmScanArg arg =
        scan_arg(memory.page(1), memory.size() - 2 * page_size, plain, pm_scan_wp_matching);
    set_vec(arg, vec, 8);
    CHECK_EQ(tracker.scan(arg), 1);
    CHECK_EQ(arg.walk_end, arg.end);
    CHECK_EQ(vec[0].start, arg.start);
    CHECK_EQ(vec[0].end, arg.end);
    // The first and the last huge page stay written, those between are armed.
    Pages expected = page_range(0, pages_per_huge_page - 1);
    const Pages last = page_range(memory.pages() - pages_per_huge_page, memory.pages() - 1);
    expected.insert(expected.end(), last.begin(), last.end());
    CHECK(tracker.pages(memory, plain) == expected);
    return finish();
}
