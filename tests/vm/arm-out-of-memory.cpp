// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Arming memory that is not populated needs page tables. When they cannot be had the call says so,
// the kernel log stays clean, and no write is forgotten: a scan that fails has disarmed again what
// it did not report, one that returns has armed no more than that.
//
// Needs fault injection (CONFIG_FAIL_PAGE_ALLOC, CONFIG_FAILSLAB), which our debug kernel has. Page
// tables are accounted allocations of order 0 that may sleep: every one of this task may be made to
// fail. The scan's buffer comes from the slab.
#include "tests/vm/guest.h"

#include <algorithm>

using namespace guesttest;

namespace {

constexpr const char* knobs = "/sys/kernel/debug/fail_page_alloc/";

void knob(const char* name, const std::string& value)
{
    if (!write_file((std::string(knobs) + name).c_str(), value))
        skip("fault injection: %s%s: %s", knobs, name, std::strerror(errno));
}

// While it lives, one in `one_in` page allocations of this task, of this order or more, fails.
class Failing {
  public:
    explicit Failing(unsigned one_in, unsigned order = 0)
    {
        knob("min-order", std::to_string(order));
        knob("probability", std::to_string(100 / one_in));
        if (!write_file("/proc/self/make-it-fail", "1"))
            skip("/proc/self/make-it-fail: %s", std::strerror(errno));
    }
    ~Failing()
    {
        if (!write_file("/proc/self/make-it-fail", "0"))
            die("/proc/self/make-it-fail");
    }
    Failing(const Failing&) = delete;
    Failing& operator=(const Failing&) = delete;
};

constexpr std::size_t tables = 64;
constexpr std::size_t pages = tables * pages_per_huge_page;

// UFFDIO_WRITEPROTECT: ENOMEM, and complete when it is repeated without failures.
void write_protect(const Tracker& tracker)
{
    unsigned failed = 0;
    for (unsigned round = 0; round < 20; ++round) {
        const Memory memory(pages, huge_page_size);
        tracker.watch(memory);
        uffdio_writeprotect request{};
        request.range.start = reinterpret_cast<std::uintptr_t>(memory.start());
        request.range.len = memory.size();
        request.mode = UFFDIO_WRITEPROTECT_MODE_WP;
        int result = 0;
        {
            const Failing failing(20);
            result = ioctl(tracker.userfaultfd(), UFFDIO_WRITEPROTECT, &request);
        }
        if (result != 0) {
            ++failed;
            CHECK_EQ(errno, ENOMEM);
        }
        tracker.arm(memory);
        CHECK(tracker.pages(memory, plain).empty());
        memory.write(pages / 2);
        CHECK_PAGES(tracker.pages(memory, plain), {pages / 2});
    }
    note("UFFDIO_WRITEPROTECT failed %u times of 20", failed);
    CHECK(failed > 0);
}

// Get and reset with the plain mask, which arms empty page tables. What is reported and what is
// written afterwards must together be all that was written before.
void scan(const Tracker& tracker)
{
    std::mt19937_64 random(seed());
    unsigned failed = 0;
    unsigned partial = 0;
    for (unsigned round = 0; round < 60; ++round) {
        const Memory memory(pages, huge_page_size);
        memory.advise(MADV_NOHUGEPAGE);
        tracker.watch(memory);
        Pages written;
        for (std::size_t table = 0; table < tables; table += 1 + random() % 6)
            written.push_back(table * pages_per_huge_page + random() % pages_per_huge_page);
        for (const std::size_t page : written)
            memory.write(page);

        std::vector<PageRegion> vec(4096);
        PmScanArg arg = scan_arg(memory.start(), memory.size(), plain, pm_scan_wp_matching);
        set_vec(arg, vec.data(), vec.size());
        int count = 0;
        {
            const Failing failing(25);
            count = tracker.scan(arg);
        }
        if (count < 0) {
            ++failed;
            CHECK_EQ(errno, ENOMEM);
            count = 0;
        } else if (arg.walk_end < arg.end) {
            ++partial;
        }

        Pages found = tracker.pages(memory, plain);
        const std::uint64_t start = reinterpret_cast<std::uintptr_t>(memory.start());
        for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
            for (std::uint64_t at = vec[i].start; at < vec[i].end; at += page_size)
                found.push_back((at - start) / page_size);
        std::sort(found.begin(), found.end());
        for (const std::size_t page : written)
            CHECK(std::binary_search(found.begin(), found.end(), page));
        // Nothing was written before it was armed, so the whole range must come out.
        found.erase(std::unique(found.begin(), found.end()), found.end());
        CHECK_EQ(found.size(), pages);
    }
    note("60 scans: %u failed, %u partial", failed, partial);
    CHECK(failed + partial > 0);
}

// hugetlb: one page table holds a gigabyte, so the range is large and remains empty.
void hugetlb(const Tracker& tracker)
{
    constexpr std::size_t gigabyte = std::size_t{1} << 30;
    constexpr std::size_t gigabytes = 8;
    unsigned failed = 0;
    for (unsigned round = 0; round < 20; ++round) {
        const Memory memory(gigabytes * gigabyte / page_size, gigabyte,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
        tracker.watch(memory);
        // Every page that is not armed, and no output: 0 with all armed, or -1.
        PmScanArg arg = scan_arg(memory.start(), memory.size(), {0, 0, 0, 0}, pm_scan_wp_matching);
        uffdio_writeprotect request{};
        request.range.start = arg.start;
        request.range.len = memory.size();
        request.mode = UFFDIO_WRITEPROTECT_MODE_WP;
        int result = 0;
        {
            const Failing failing(5);
            result = round % 2 == 0 ? tracker.scan(arg)
                                    : ioctl(tracker.userfaultfd(), UFFDIO_WRITEPROTECT, &request);
        }
        if (result != 0) {
            ++failed;
            CHECK_EQ(errno, ENOMEM);
            CHECK(round % 2 != 0 || arg.walk_end < arg.end);
        }
    }
    note("hugetlb: %u calls of 20 failed", failed);
    CHECK(failed > 0);
}

// Without its buffer a scan has not begun.
void buffer(const Tracker& tracker)
{
    const Memory memory(1024);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    memory.write(5);
    memory.write(900);
    std::vector<PageRegion> vec(512);
    PmScanArg arg = scan_arg(memory.start(), memory.size(), qualified, pm_scan_wp_matching);
    set_vec(arg, vec.data(), vec.size());
    int result = 0;
    int error = 0;
    {
        const Failing failing(1, 2);
        result = tracker.scan(arg);
        error = errno;
    }
    CHECK_EQ(result, -1);
    CHECK_EQ(error, ENOMEM);
    CHECK_PAGES(tracker.get(memory), {5, 900});
}

} // namespace

int main()
{
    knob("task-filter", "Y");
    knob("interval", "1");
    knob("times", "-1");
    knob("verbose", "0");
    knob("ignore-gfp-wait", "N");
    knob("ignore-gfp-highmem", "N");

    const Tracker tracker;
    write_protect(tracker);
    scan(tracker);
    hugetlb(tracker);
    buffer(tracker);
    return finish();
}
