// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a write and a get+reset cost, as one program for Windows, Wine and Linux. compare-wine.py
// runs it under stock Wine and under writewatch in turn and compares.
//
// rotate MIB ROUNDS     Each round writes one word in each page of the next quarter of the pages,
// then asks
//                       which pages were written and resets them. Quarters are every fourth page
//                       ("spread") and then whole quarters of the region ("block"): a tracker by
//                       page protection splits mappings in the first and merges them in the second.
// alternate MIB         Every second page written, all pages asked for and reset; then the same
// with
//                       the other pages. Each answer is compared page by page.
//
// Costs are 10th percentiles: of batches of writes, and of the rounds' get+reset. Prints one JSON
// object. Exit status: 0, 1 when an answer was wrong, 64 for wrong usage.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <writewatch/win32.h>

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t page_size = 4096;

double ns_between(Clock::time_point from, Clock::time_point to)
{
    return std::chrono::duration<double, std::nano>(to - from).count();
}

// What it costs when nothing interrupts: on a busy machine, most long samples are interrupted.
double tenth_percentile(std::vector<double> values)
{
    const auto rank = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 10);
    std::nth_element(values.begin(), rank, values.end());
    return *rank;
}

// Writes that are timed together: short beside a time slice, long beside the clock.
constexpr std::size_t batch = 64;

// A watched region, and the array that one call for all of it needs.
class Region {
  public:
    explicit Region(std::size_t mib)
        : pages_((mib << 20) / page_size),
          base_(static_cast<char*>(VirtualAlloc(
              nullptr, mib << 20, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE))),
          written_(pages_)
    {
        if (!base_) {
            std::fprintf(stderr, "wine-rotate: VirtualAlloc of %zu MiB failed: error %u\n", mib,
                         static_cast<unsigned>(GetLastError()));
            std::exit(1);
        }
    }

    std::size_t pages() const { return pages_; }

    void write(std::size_t page, std::uint64_t value)
    {
        auto* word = reinterpret_cast<volatile std::uint64_t*>(base_ + page * page_size);
        *word = value;
    }

    // Asks and resets; the number of pages.
    std::size_t get_reset()
    {
        ULONG_PTR count = written_.size();
        ULONG granularity = 0;
        if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, base_, pages_ * page_size, written_.data(),
                          &count, &granularity) != 0) {
            std::fprintf(stderr, "wine-rotate: GetWriteWatch failed: error %u\n",
                         static_cast<unsigned>(GetLastError()));
            std::exit(1);
        }
        return count;
    }

    // Whether entry `index` of the last answer is this page.
    bool answered(std::size_t index, std::size_t page) const
    {
        return written_[index] == base_ + page * page_size;
    }

  private:
    std::size_t pages_;
    char* base_;
    std::vector<void*> written_;
};

struct Cost {
    double write_ns = 0;
    double get_reset_ns = 0;
    bool exact = true;
};

// `nth(round, i)`: the page that is written as the i-th of the round.
template<typename Nth> Cost rotate(Region& region, unsigned rounds, Nth nth)
{
    const std::size_t quarter = region.pages() / 4; // a multiple of the batch: MiBs are
    std::vector<double> write_ns;
    std::vector<double> get_ns;
    Cost cost;
    for (unsigned round = 0; round < rounds; ++round) {
        for (std::size_t i = 0; i < quarter; i += batch) {
            const auto start = Clock::now();
            for (std::size_t j = i; j < i + batch; ++j)
                region.write(nth(round, j), round + 1);
            write_ns.push_back(ns_between(start, Clock::now()) / static_cast<double>(batch));
        }
        const auto written = Clock::now();
        const std::size_t found = region.get_reset();
        const auto got = Clock::now();
        get_ns.push_back(ns_between(written, got));
        cost.exact = cost.exact && found == quarter;
        for (std::size_t i = 0; i < found && cost.exact; ++i)
            cost.exact = region.answered(i, nth(round, i));
    }
    cost.write_ns = tenth_percentile(write_ns);
    cost.get_reset_ns = tenth_percentile(get_ns);
    return cost;
}

int run_rotate(std::size_t mib, unsigned rounds)
{
    Region region(mib);
    // Populate: a first write costs a page fault and a cleared page whatever tracks it.
    for (std::size_t page = 0; page < region.pages(); ++page)
        region.write(page, 1);
    const std::size_t populated = region.get_reset();
    const std::size_t quarter = region.pages() / 4;

    const Cost spread =
        rotate(region, rounds, [](unsigned round, std::size_t i) { return i * 4 + round % 4; });
    const Cost block = rotate(region, rounds, [quarter](unsigned round, std::size_t i) {
        return round % 4 * quarter + i;
    });
    const bool exact = populated == region.pages() && spread.exact && block.exact;
    std::printf("{\"schema\": \"writewatch.bench.rotate/1\", \"pages\": %zu, "
                "\"spread_write_ns\": %.1f, \"spread_get_reset_ns\": %.0f, "
                "\"block_write_ns\": %.1f, \"block_get_reset_ns\": %.0f, \"exact\": %s}\n",
                region.pages(), spread.write_ns, spread.get_reset_ns, block.write_ns,
                block.get_reset_ns, exact ? "true" : "false");
    return exact ? 0 : 1;
}

int run_alternate(std::size_t mib)
{
    const auto start = Clock::now();
    Region region(mib);
    const std::size_t half = region.pages() / 2;
    bool exact = true;
    for (std::size_t first = 0; first < 2; ++first) {
        for (std::size_t i = 0; i < half; ++i)
            region.write(i * 2 + first, 1);
        const std::size_t found = region.get_reset();
        exact = exact && found == half;
        for (std::size_t i = 0; i < found && exact; ++i)
            exact = region.answered(i, i * 2 + first);
    }
    std::printf("{\"schema\": \"writewatch.bench.alternate/1\", \"pages\": %zu, "
                "\"total_ns\": %.0f, \"exact\": %s}\n",
                region.pages(), ns_between(start, Clock::now()), exact ? "true" : "false");
    return exact ? 0 : 1;
}

} // namespace

int main(int argc, char** argv)
{
    const char* const mode = argc > 1 ? argv[1] : "";
    const unsigned long mib = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 0;
    const unsigned long rounds = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 0;
    if (std::strcmp(mode, "rotate") == 0 && argc == 4 && mib > 0 && rounds > 0)
        return run_rotate(mib, static_cast<unsigned>(rounds));
    if (std::strcmp(mode, "alternate") == 0 && argc == 3 && mib > 0)
        return run_alternate(mib);
    std::fputs("Usage: wine-rotate rotate MIB ROUNDS | alternate MIB\n", stderr);
    return 64;
}
