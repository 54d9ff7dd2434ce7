// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Under memory pressure nothing is lost and nothing is made up: the process may use a quarter of
// what it writes to, so that the kernel unmaps, swaps out and brings back its pages all the time,
// armed ones, written ones and those that are neither. After each round the scan must report
// exactly the pages that were written since the last one, and the memory hold what was written.
//
// Private memory with the qualified mask, private and shared memory that was armed at first.
#include "tests/vm/guest.h"

#include <algorithm>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

using namespace guesttest;

namespace {

constexpr std::size_t pages = 8192; // 32 MiB
constexpr std::size_t limit = 8 * 1024 * 1024;
constexpr unsigned rounds = 12;

constexpr const char* hierarchy = "/tmp/cgroup";
constexpr const char* group = "/tmp/cgroup/pressure";

// From here on this process may have `limit` bytes of memory; the rest goes to swap.
void limit_memory()
{
    mkdir(hierarchy, 0700);
    if (mount("none", hierarchy, "cgroup2", 0, "") != 0)
        skip("cgroup2: %s", std::strerror(errno));
    if (!write_file((std::string(hierarchy) + "/cgroup.subtree_control").c_str(), "+memory"))
        skip("no memory controller: %s", std::strerror(errno));
    mkdir(group, 0700);
    if (!write_file((std::string(group) + "/memory.max").c_str(), std::to_string(limit)) ||
        !write_file((std::string(group) + "/cgroup.procs").c_str(), "0"))
        die("memory limit");
}

std::uint64_t bytes_in_swap()
{
    struct sysinfo now {};
    if (sysinfo(&now) != 0)
        die("sysinfo");
    return (now.totalswap - now.freeswap) * now.mem_unit;
}

void rounds_of(const char* name, const Tracker& tracker, const Memory& memory, const Masks& masks)
{
    std::mt19937_64 random(seed());
    std::vector<char> content(memory.pages());
    std::size_t written_in_all = 0;
    for (unsigned round = 0; round < rounds; ++round) {
        Pages written;
        for (std::size_t i = 0; i < memory.pages() / 4; ++i) {
            const std::size_t page = random() % memory.pages();
            content[page] = static_cast<char>(random() % 127 + 1);
            memory.write(page, content[page]);
            written.push_back(page);
        }
        std::sort(written.begin(), written.end());
        written.erase(std::unique(written.begin(), written.end()), written.end());
        written_in_all += written.size();
        // Reads bring pages back, which must not count.
        for (std::size_t i = 0; i < memory.pages() / 4; ++i) {
            const std::size_t page = random() % memory.pages();
            CHECK_EQ(memory.read(page), content[page]);
        }
        const Pages found = tracker.pages(memory, masks, pm_scan_wp_matching);
        if (found != written) {
            ++failures;
            std::fprintf(stderr, "FAILED: %s, round %u: %zu pages reported, %zu written\n", name,
                         round, found.size(), written.size());
        }
    }
    const std::uint64_t out = bytes_in_swap();
    note("%-16s %zu pages written, %llu KiB in swap at the end", name, written_in_all,
         static_cast<unsigned long long>(out / 1024));
    // Else this was no pressure, and nothing has been shown.
    CHECK(out > memory.size() / 2);
}

} // namespace

int main()
{
    make_zram_swap(64 * 1024);
    limit_memory();
    const Tracker tracker;
    {
        const Memory memory(pages);
        memory.advise(MADV_NOHUGEPAGE);
        tracker.watch(memory);
        rounds_of("private", tracker, memory, qualified);
    }
    {
        const Memory memory(pages);
        memory.advise(MADV_NOHUGEPAGE);
        tracker.watch(memory);
        tracker.arm(memory);
        rounds_of("private, armed", tracker, memory, plain);
    }
    {
        const int fd = memory_file(pages * page_size);
        const Memory memory(pages, page_size, MAP_SHARED, fd);
        tracker.watch(memory);
        tracker.arm(memory);
        rounds_of("shared, armed", tracker, memory, plain);
        close(fd);
    }
    return finish();
}
