// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the library costs natively: GetWriteWatch against the same PAGEMAP_SCAN loop written by
// hand, on the same memory, interleaved; and what arming costs. Prints a table with the bound
// beside each number.
//
// Usage: native [--check] [--save FILE]     --check: exit status 1 when a bound does not hold
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <writewatch/win32.h>

#include "tests/bench/bare_scan.h"
#include "tests/bench/interleave.h"

namespace {

constexpr std::size_t page_size = 4096;
constexpr std::size_t gib = std::size_t{1} << 30;
constexpr std::size_t many_pages = 65'536;
constexpr std::size_t repetitions = 41;

constexpr double get_reset_ratio_bound = 1.10;
constexpr double single_page_extra_ns_bound = 250;
constexpr double idle_ratio_bound = 0.60;
constexpr double arming_ns_bound = 100'000;

struct Row {
    std::string what;
    double bare_ns; // the loop by hand, or the control
    double library_ns;
    double value; // the number that the bound is about
    double bound; // value must not exceed it; 0: no bound
    const char* unit;
};

std::vector<Row> rows;
bool wrong = false;

void expect(bool holds, const char* what)
{
    if (holds)
        return;
    std::fprintf(stderr, "native: WRONG: %s\n", what);
    wrong = true;
}

char* allocate(std::size_t bytes, DWORD type)
{
    return static_cast<char*>(VirtualAlloc(nullptr, bytes, type, PAGE_READWRITE));
}

std::size_t get(void* base, std::size_t bytes, DWORD flags, std::vector<void*>& addresses)
{
    ULONG_PTR count = addresses.size();
    ULONG granularity = 0;
    if (GetWriteWatch(flags, base, bytes, addresses.data(), &count, &granularity) != 0) {
        std::fprintf(stderr, "native: GetWriteWatch: error %u\n", GetLastError());
        std::exit(1);
    }
    return count;
}

// One 256 MiB region that the library watches; the loop by hand scans the same memory.
class Region {
  public:
    Region()
        : base_(allocate(many_pages * page_size, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH)),
          addresses_(many_pages)
    {
        if (!base_) {
            std::fprintf(stderr, "native: VirtualAlloc: error %u\n", GetLastError());
            std::exit(1);
        }
        write_every(1);
        get(base_, many_pages * page_size, WRITE_WATCH_FLAG_RESET, addresses_);
    }
    ~Region() { VirtualFree(base_, 0, MEM_RELEASE); }
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;

    void write_every(std::size_t stride)
    {
        for (std::size_t page = 0; stride && page < many_pages; page += stride)
            *static_cast<volatile char*>(base_ + page * page_size) = 1;
    }

    char* base() const { return base_; }
    std::vector<void*>& addresses() { return addresses_; }

  private:
    char* base_;
    std::vector<void*> addresses_;
};

void measure_get_reset(Region& region, const bench::BareScan& bare)
{
    const struct {
        const char* what;
        std::size_t stride;
    } cases[] = {{"get+reset, 0 % written", 0},
                 {"get+reset, 1 % written", 100},
                 {"get+reset, 25 % written", 4},
                 {"get+reset, 100 % written", 1}};
    for (const auto& [what, stride] : cases) {
        const std::size_t expected = stride ? (many_pages + stride - 1) / stride : 0;
        const auto sample = [&, stride = stride](auto&& scan) {
            return [&, stride, scan] {
                region.write_every(stride);
                std::size_t found = 0;
                const double ns = bench::time_ns([&] { found = scan(); });
                expect(found == expected, "pages found");
                return ns;
            };
        };
        std::vector<bench::Variant> variants{
            {"bare", sample([&] {
                 return bare.get(region.base(), many_pages * page_size, true,
                                 region.addresses().data(), many_pages);
             })},
            {"library", sample([&] {
                 return get(region.base(), many_pages * page_size, WRITE_WATCH_FLAG_RESET,
                            region.addresses());
             })}};
        bench::interleave(variants, repetitions);
        const double ratio = variants[1].undisturbed() / variants[0].undisturbed();
        rows.push_back({what, variants[0].undisturbed(), variants[1].undisturbed(), ratio,
                        get_reset_ratio_bound, "x"});
        if (stride == 0)
            rows.push_back({"idle get against the qualified scan", variants[0].undisturbed(),
                            variants[1].undisturbed(), ratio, idle_ratio_bound, "x"});
    }
}

void measure_single_page(Region& region, const bench::BareScan& bare)
{
    constexpr std::size_t calls = 2'000;
    std::vector<void*> one(1);
    for (const bool written : {false, true}) {
        get(region.base(), page_size, WRITE_WATCH_FLAG_RESET, one);
        if (written)
            *static_cast<volatile char*>(region.base()) = 1;
        const auto sample = [&](auto&& scan) {
            return [&, scan] {
                std::size_t found = 0;
                const double ns = bench::time_ns([&] {
                    for (std::size_t i = 0; i < calls; ++i)
                        found += scan();
                });
                expect(found == (written ? calls : 0), "pages found, single page");
                return ns / static_cast<double>(calls);
            };
        };
        std::vector<bench::Variant> variants{
            {"bare",
             sample([&] { return bare.get(region.base(), page_size, false, one.data(), 1); })},
            {"library", sample([&] { return get(region.base(), page_size, 0, one); })}};
        bench::interleave(variants, repetitions);
        rows.push_back({written ? "get of one page, written" : "get of one page, clean",
                        variants[0].undisturbed(), variants[1].undisturbed(),
                        variants[1].undisturbed() - variants[0].undisturbed(),
                        single_page_extra_ns_bound, "ns more"});
    }
}

// The kernel's page tables for this process, in KiB.
long page_tables_kib()
{
    std::ifstream status("/proc/self/status");
    std::string word;
    long kib = -1;
    while (status >> word)
        if (word == "VmPTE:")
            status >> kib;
    return kib;
}

void measure_arming()
{
    const auto sample = [](DWORD type) {
        return [type] {
            char* base = nullptr;
            const double ns =
                bench::time_ns([&] { base = allocate(gib, MEM_RESERVE | MEM_COMMIT | type); });
            expect(base != nullptr, "allocating 1 GiB");
            VirtualFree(base, 0, MEM_RELEASE);
            return ns;
        };
    };
    std::vector<bench::Variant> variants{{"unwatched", sample(0)},
                                         {"watched", sample(MEM_WRITE_WATCH)}};
    bench::interleave(variants, repetitions);
    rows.push_back({"allocating 1 GiB, unwatched and watched", variants[0].undisturbed(),
                    variants[1].undisturbed(),
                    variants[1].undisturbed() - variants[0].undisturbed(), arming_ns_bound,
                    "ns more"});

    const long before = page_tables_kib();
    char* const base = allocate(gib, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
    const long after = page_tables_kib();
    expect(base != nullptr, "allocating 1 GiB");
    VirtualFree(base, 0, MEM_RELEASE);
    std::printf("page tables (VmPTE) before and after allocating 1 GiB watched: %ld, %ld KiB\n",
                before, after);
    // A page table holds 2 MiB: at most one more, for whatever else the allocation touched.
    expect(before >= 0 && after - before <= 4, "allocating 1 GiB must add no page tables");

    char* huge = nullptr;
    const double ns =
        bench::time_ns([&] { huge = allocate(256 * gib, MEM_RESERVE | MEM_WRITE_WATCH); });
    std::printf("reserving 256 GiB watched: %s, %.0f us\n", huge ? "done" : "FAILED", ns / 1e3);
    expect(huge != nullptr, "reserving 256 GiB");
    if (huge)
        VirtualFree(huge, 0, MEM_RELEASE);
}

void print_table()
{
    std::printf("10th percentiles of %zu interleaved samples\n", repetitions);
    std::printf("%-42s %12s %12s %12s %12s\n", "", "bare [us]", "library [us]", "", "bound");
    for (const Row& row : rows)
        std::printf("%-42s %12.2f %12.2f %8.2f %-7s <= %.2f\n", row.what.c_str(), row.bare_ns / 1e3,
                    row.library_ns / 1e3, row.value, row.unit, row.bound);
}

bool save_json(const char* path)
{
    std::ofstream file(path);
    file << "{\"schema\": \"writewatch.bench.native/1\", \"rows\": [";
    const char* separator = "\n";
    for (const Row& row : rows) {
        file << separator << " {\"what\": \"" << row.what << "\", \"bare_ns\": " << row.bare_ns
             << ", \"library_ns\": " << row.library_ns << ", \"value\": " << row.value
             << ", \"bound\": " << row.bound << "}";
        separator = ",\n";
    }
    file << "\n]}\n";
    return file.good();
}

} // namespace

int main(int argc, char** argv)
{
    bool check = false;
    const char* save = nullptr;
    for (int i = 1; i < argc; ++i) {
        if (std::strcmp(argv[i], "--check") == 0) {
            check = true;
        } else if (std::strcmp(argv[i], "--save") == 0 && i + 1 < argc) {
            save = argv[++i];
        } else {
            std::fputs("Usage: native [--check] [--save FILE]\n", stderr);
            return 64;
        }
    }
    const bench::BareScan bare;
    {
        Region region;
        measure_get_reset(region, bare);
        measure_single_page(region, bare);
    }
    measure_arming();
    print_table();
    if (save && !save_json(save)) {
        std::fprintf(stderr, "native: cannot write %s\n", save);
        return 1;
    }
    if (wrong)
        return 1;
    const bool holds = std::all_of(rows.begin(), rows.end(),
                                   [](const Row& row) { return row.value <= row.bound; });
    return check && !holds ? 1 : 0;
}
