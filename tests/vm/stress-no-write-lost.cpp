// SPDX-License-Identifier: LGPL-2.1-or-later
//
// No write is lost, whatever else happens to the memory: two threads write, two collect by
// get-and-reset and copy each page that is reported, and a fifth swaps pages out, migrates them,
// changes their protection, forks, merges them by KSM, collapses them to huge pages or drops their
// mapping. When all is quiet and the rest is collected, the copies must equal the memory: a page
// that differs was written and never reported after that.
//
// Private memory with the qualified and with the plain masks, with huge pages, shared memory,
// private mappings of files, hugetlb. WRITEWATCH_SECONDS per kind (default 3), and longer on a slow
// machine until each of the disturbances has happened some times; WRITEWATCH_SEED.
#include "tests/vm/guest.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

using namespace guesttest;

namespace {

enum Trouble : unsigned {
    swapping = 1U << 0,
    migrating = 1U << 1,
    protecting = 1U << 2,
    forking = 1U << 3,
    merging = 1U << 4,
    collapsing = 1U << 5,
    unmapping = 1U << 6, // MADV_DONTNEED, for memory whose content survives it
};

struct Kind {
    const char* name;
    std::size_t pages;
    int map_flags;
    bool file;
    bool huge_pages;
    bool eager;
    Masks masks;
    unsigned troubles;
};

constexpr std::size_t slots = 3; // per page: one for each writer and one for the kernel's writes

const Kind kinds[] = {
    {"private", 1024, MAP_PRIVATE | MAP_ANONYMOUS, false, false, false, qualified,
     swapping | migrating | protecting | forking | merging},
    {"private, eager", 1024, MAP_PRIVATE | MAP_ANONYMOUS, false, false, true, plain,
     swapping | migrating | protecting | forking | merging},
    {"private, huge pages", 2048, MAP_PRIVATE | MAP_ANONYMOUS, false, true, true, plain,
     swapping | migrating | protecting | forking | collapsing},
    {"shared", 1024, MAP_SHARED, true, false, true, plain,
     swapping | migrating | protecting | forking | unmapping},
    {"shared, huge pages", 2048, MAP_SHARED, true, true, true, plain,
     swapping | migrating | protecting | forking | unmapping | collapsing},
    {"private file", 1024, MAP_PRIVATE, true, false, true, plain,
     swapping | migrating | protecting | forking},
    {"hugetlb", 8 * pages_per_huge_page, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, false, false,
     true, plain, protecting},
};

class Run {
  public:
    Run(const Tracker& tracker, const Kind& kind, const Memory& memory)
        : tracker_(tracker), kind_(kind), memory_(memory), copies_(memory.pages() * slots),
          locks_(memory.pages())
    {}

    void operator()()
    {
        std::vector<std::thread> threads;
        threads.emplace_back([this] { write(0, seed() + 1); });
        threads.emplace_back([this] { write(1, seed() + 2); });
        threads.emplace_back([this] { collect(seed() + 3); });
        threads.emplace_back([this] { collect(seed() + 4); });
        threads.emplace_back([this] { disturb(seed() + 5); });
        const auto start = std::chrono::steady_clock::now();
        const std::chrono::seconds wanted(number_from("WRITEWATCH_SECONDS", 3));
        const std::chrono::seconds patience(60);
        for (;;) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            const auto passed = std::chrono::steady_clock::now() - start;
            if ((passed >= wanted && disturbed_enough()) || passed >= patience)
                break;
        }
        stop_ = true;
        for (std::thread& thread : threads)
            thread.join();

        std::mt19937_64 random(seed());
        while (collect_once(random) > 0) {
        }
        std::size_t lost = 0;
        for (std::size_t page = 0; page < memory_.pages(); ++page)
            for (std::size_t slot = 0; slot < slots; ++slot)
                lost += value(page, slot) != copies_[page * slots + slot] ? 1U : 0U;
        note("%-20s %8zu writes, %6zu collections, %8zu pages collected, %5zu disturbances, "
             "%zu lost",
             kind_.name, writes_.load(), collections_.load(), collected_.load(),
             disturbances_.load(), lost);
        CHECK_EQ(lost, 0);
        CHECK(writes_ > 0 && collected_ > 0 && disturbed_enough());
    }

  private:
    [[nodiscard]] bool disturbed_enough() const
    {
        for (unsigned bit = 0; bit < disturbances_of_.size(); ++bit)
            if ((kind_.troubles >> bit & 1) != 0 && disturbances_of_[bit] < 3)
                return false;
        return true;
    }

    [[nodiscard]] volatile std::uint64_t& value(std::size_t page, std::size_t slot) const
    {
        return reinterpret_cast<volatile std::uint64_t*>(memory_.page(page))[slot];
    }

    void write(std::size_t slot, std::uint64_t own_seed)
    {
        std::mt19937_64 random(own_seed);
        int pipe_ends[2];
        if (pipe(pipe_ends) != 0)
            die("pipe");
        std::uint64_t count = 0;
        while (!stop_) {
            // Mostly near to each other, as programs write
            const std::size_t page = random() % 4 != 0 ? random() % 64 : random() % memory_.pages();
            value(page, slot) = ++count;
            if (slot == 0 && count % 64 == 0) {
                // The kernel writes on our behalf.
                if (::write(pipe_ends[1], &count, sizeof(count)) != sizeof(count) ||
                    read(pipe_ends[0], const_cast<std::uint64_t*>(&value(page, 2)),
                         sizeof(count)) != sizeof(count))
                    die("read into the memory");
            }
        }
        writes_ += count;
        close(pipe_ends[0]);
        close(pipe_ends[1]);
    }

    std::size_t collect_once(std::mt19937_64& random)
    {
        constexpr std::size_t lengths[] = {1, 7, 64, 512, 600};
        std::vector<PageRegion> vec(lengths[random() % std::size(lengths)]);
        PmScanArg arg = scan_arg(memory_.start(), memory_.size(), kind_.masks, pm_scan_wp_matching);
        set_vec(arg, vec.data(), vec.size());
        if (random() % 4 == 0)
            arg.max_pages = 1 + random() % 2048;
        std::size_t found = 0;
        while (arg.start < arg.end) {
            const int count = tracker_.scan(arg);
            if (count < 0)
                die("PAGEMAP_SCAN");
            for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
                found += copy(vec[i]);
            if (arg.walk_end <= arg.start) {
                errno = EDEADLK;
                die("no progress");
            }
            arg.start = arg.walk_end;
        }
        ++collections_;
        collected_ += found;
        return found;
    }

    // Both collectors may have been told of the same page: whoever copies later has what is newer.
    std::size_t copy(const PageRegion& region)
    {
        const std::uint64_t start = reinterpret_cast<std::uintptr_t>(memory_.start());
        const std::size_t first = (region.start - start) / page_size;
        const std::size_t last = (region.end - start) / page_size;
        for (std::size_t page = first; page < last; ++page) {
            const std::lock_guard lock(locks_[page]);
            for (std::size_t slot = 0; slot < slots; ++slot)
                copies_[page * slots + slot] = value(page, slot);
        }
        return last - first;
    }

    void collect(std::uint64_t own_seed)
    {
        std::mt19937_64 random(own_seed);
        while (!stop_) {
            collect_once(random);
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
        }
    }

    void disturb(std::uint64_t own_seed)
    {
        std::mt19937_64 random(own_seed);
        while (!stop_) {
            const unsigned bit = static_cast<unsigned>(random() % disturbances_of_.size());
            const unsigned trouble = 1U << bit;
            if ((kind_.troubles & trouble) == 0)
                continue;
            std::size_t unit = kind_.map_flags & MAP_HUGETLB ? pages_per_huge_page : 1;
            std::size_t first = random() % memory_.pages() / unit * unit;
            std::size_t count =
                (1 + random() % std::min<std::size_t>(memory_.pages() - first, 256) + unit - 1) /
                unit * unit;
            char* const start = memory_.page(first);
            switch (trouble) {
            case swapping:
                madvise(start, count * page_size, MADV_PAGEOUT);
                break;
            case migrating:
                if (random() % 8 == 0)
                    (void)write_file("/proc/sys/vm/compact_memory", "1");
                break;
            case protecting:
                if (mprotect(start, count * page_size, PROT_READ | PROT_WRITE | PROT_EXEC) != 0 ||
                    mprotect(start, count * page_size, PROT_READ | PROT_WRITE) != 0)
                    die("mprotect");
                break;
            case forking: {
                const pid_t child = fork();
                if (child == 0) {
                    // Its writes are its own.
                    if ((kind_.map_flags & MAP_SHARED) == 0)
                        value(first, 0) = ~std::uint64_t{0};
                    _exit(0);
                }
                if (child > 0)
                    waitpid(child, nullptr, 0);
                break;
            }
            case merging:
                madvise(start, count * page_size,
                        random() % 2 == 0 ? MADV_MERGEABLE : MADV_UNMERGEABLE);
                break;
            case collapsing:
                first = first / pages_per_huge_page * pages_per_huge_page;
                madvise(memory_.page(first), huge_page_size, MADV_COLLAPSE);
                break;
            default:
                madvise(start, count * page_size, MADV_DONTNEED);
            }
            ++disturbances_;
            ++disturbances_of_[bit];
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 1000));
        }
    }

    const Tracker& tracker_;
    const Kind& kind_;
    const Memory& memory_;
    std::vector<std::uint64_t> copies_;
    std::vector<std::mutex> locks_;
    std::atomic<bool> stop_ = false;
    std::atomic<std::size_t> writes_ = 0;
    std::atomic<std::size_t> collections_ = 0;
    std::atomic<std::size_t> collected_ = 0;
    std::atomic<std::size_t> disturbances_ = 0;
    std::array<std::atomic<unsigned>, 7> disturbances_of_{}; // by the bits of Trouble
};

} // namespace

int main()
{
    make_zram_swap(64 * 1024);
    set_until_exit("/proc/sys/vm/nr_hugepages", "24");
    set_until_exit("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
    set_until_exit("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "advise");
    set_until_exit("/sys/kernel/mm/ksm/run", "1");
    set_until_exit("/sys/kernel/mm/ksm/sleep_millisecs", "5");

    for (const Kind& kind : kinds) {
        const Tracker tracker;
        const int fd = kind.file ? memory_file(kind.pages * page_size) : -1;
        const Memory memory(kind.pages, huge_page_size, kind.map_flags, fd);
        if ((kind.map_flags & MAP_HUGETLB) == 0)
            memory.advise(kind.huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        tracker.watch(memory);
        if (kind.eager)
            tracker.arm(memory);
        Run run(tracker, kind, memory);
        run();
        if (fd >= 0)
            close(fd);
    }
    return finish();
}
