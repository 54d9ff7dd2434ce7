// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A random sequence of maps, registrations, writes, zaps and scans, and what the kernel answers to
// each, as text: run with the same seed on two kernels the texts must be the same. tests/vm/run
// compares stock 6.12 with our 6.1.
//
// Usage: differential [SEED [STEPS]]
//
// It stays away from what docs/kernel-deviations.md lists: scans that write-protect without a
// vector, that fail, that yield more than 512 regions, or that cut a huge page of hugetlb; huge
// pages of shared memory that are armed; and from what is decided by chance, such as reclaim.
// A category that only one kernel has is not asked for.
#include "tests/kernel/support.h"

#include <algorithm>
#include <array>
#include <random>

using namespace kerneltest;

namespace {

constexpr std::size_t area_pages = 700; // more than a page table, not aligned to one
constexpr std::uint64_t all_categories = 0xff;

enum class Backing { nothing, anonymous, shared, private_file, hugetlb };

const char* name_of(Backing backing)
{
    constexpr const char* names[] = {"nothing", "anonymous", "shared", "private_file", "hugetlb"};
    return names[static_cast<std::size_t>(backing)];
}

std::mt19937_64 random_source;

std::size_t pick(std::size_t below)
{
    return random_source() % below;
}

class Area {
  public:
    Area(char* start, std::size_t unit, bool huge) : start_(start), unit_(unit), huge_(huge)
    {
        if (mmap(start_ - unit_, (area_pages_() + 2) * unit_, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
            die("mmap of an area");
        munmap(start_, area_pages_() * unit_);
    }

    void step(const Tracker& tracker, std::size_t number)
    {
        const std::size_t first = pick(area_pages_());
        const std::size_t count =
            1 + pick(std::min<std::size_t>(area_pages_() - first, huge_ ? 4 : 200));
        char* const at = start_ + first * unit_;
        const std::size_t size = count * unit_;
        const std::size_t action = pick(24);
        std::printf("%zu %s [%zu,%zu) ", number, huge_ ? "huge" : "small", first, first + count);
        switch (action) {
        case 0:
            map(at, size, Backing::anonymous);
            break;
        case 1:
            if (huge_)
                map(at, size, Backing::hugetlb);
            else
                map(at, size, pick(2) == 0 ? Backing::shared : Backing::private_file);
            break;
        case 2:
            std::printf("unmap %d\n", munmap(at, size) == 0 ? 0 : errno);
            break;
        case 3:
        case 4:
        case 5:
            std::printf("register %d\n", tracker.try_watch(at, size));
            break;
        case 6:
            unregister(tracker, at, size);
            break;
        case 7:
            protect_by_uffd(tracker, at, size, UFFDIO_WRITEPROTECT_MODE_WP);
            break;
        case 8:
            protect_by_uffd(tracker, at, size, 0);
            break;
        case 9:
        case 10:
        case 11:
        case 12:
            touch(at, count, true);
            break;
        case 13:
        case 14:
            touch(at, count, false);
            break;
        case 15:
            std::printf("dontneed %d\n", madvise(at, size, MADV_DONTNEED) == 0 ? 0 : errno);
            break;
        case 16: {
            const int first_error = mprotect(at, size, PROT_READ) == 0 ? 0 : errno;
            const int second_error = mprotect(at, size, PROT_READ | PROT_WRITE) == 0 ? 0 : errno;
            std::printf("mprotect %d %d\n", first_error, second_error);
            break;
        }
        case 17:
            move(at, size);
            break;
        case 18:
            child(tracker, at, size);
            break;
        case 19:
            if (!huge_) {
                // A huge page, if there is room for one
                char* const aligned = reinterpret_cast<char*>(
                    (reinterpret_cast<std::uintptr_t>(at) + huge_page_size - 1) &
                    ~(huge_page_size - 1));
                std::printf("nohugepage %d\n",
                            madvise(aligned, page_size, MADV_NOHUGEPAGE) == 0 ? 0 : errno);
                break;
            }
            [[fallthrough]];
        default:
            scan(tracker, at, size);
        }
    }

    // Everything there is to see, at the end
    void dump(const Tracker& tracker) const
    {
        const Masks any{0, 0, 0, all_categories};
        print_scan(tracker, scan_arg(start_, area_pages_() * unit_, any), "dump");
    }

  private:
    [[nodiscard]] std::size_t area_pages_() const { return huge_ ? 6 : area_pages; }

    void map(char* at, std::size_t size, Backing backing) const
    {
        int fd = -1;
        int flags = MAP_FIXED | MAP_NORESERVE | MAP_PRIVATE | MAP_ANONYMOUS;
        if (huge_ && backing == Backing::anonymous)
            backing = Backing::hugetlb;
        if (backing == Backing::hugetlb)
            flags |= MAP_HUGETLB;
        if (backing == Backing::shared || backing == Backing::private_file) {
            fd = static_cast<int>(syscall(SYS_memfd_create, "differential", 0));
            if (fd < 0 || ftruncate(fd, static_cast<off_t>(size)) != 0)
                die("memfd_create");
            flags = MAP_FIXED | (backing == Backing::shared ? MAP_SHARED : MAP_PRIVATE);
        }
        void* const got = mmap(at, size, PROT_READ | PROT_WRITE, flags, fd, 0);
        std::printf("map %s %d\n", name_of(backing), got == at ? 0 : errno);
        if (got == at && !huge_)
            madvise(at, size, MADV_NOHUGEPAGE);
        if (fd >= 0)
            close(fd);
    }

    static void unregister(const Tracker& tracker, char* at, std::size_t size)
    {
        uffdio_range range{reinterpret_cast<std::uintptr_t>(at), size};
        std::printf("unregister %d\n",
                    ioctl(tracker.userfaultfd(), UFFDIO_UNREGISTER, &range) == 0 ? 0 : errno);
    }

    // Over one mapping only: 6.1 takes no more, 6.12 does.
    void protect_by_uffd(const Tracker& tracker, char* at, std::size_t size,
                         std::uint64_t mode) const
    {
        uffdio_writeprotect request{};
        request.range = {reinterpret_cast<std::uintptr_t>(at), unit_};
        request.mode = mode;
        int error = 0;
        for (std::size_t done = 0; done < size && error == 0; done += unit_) {
            request.range.start = reinterpret_cast<std::uintptr_t>(at) + done;
            error = ioctl(tracker.userfaultfd(), UFFDIO_WRITEPROTECT, &request) == 0 ? 0 : errno;
        }
        std::printf("writeprotect %llu %d\n", static_cast<unsigned long long>(mode), error);
    }

    // By way of the kernel, which returns an error where a program would get a signal
    void touch(char* at, std::size_t count, bool write) const
    {
        static const int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        static const int null = [] {
            int ends[2];
            if (pipe(ends) != 0)
                die("pipe");
            close(ends[0]);
            return memfd_create("sink", MFD_CLOEXEC);
        }();
        const std::size_t stride = 1 + pick(4);
        std::size_t touched = 0;
        for (std::size_t page = 0; page < count; page += stride) {
            char* const address = at + page * unit_ + pick(unit_ / page_size) * page_size;
            const ssize_t n = write ? ::read(zero, address, 8) : ::pwrite(null, address, 8, 0);
            touched += n == 8 ? 1U : 0U;
        }
        std::printf("%s %zu of %zu\n", write ? "write" : "read", touched, count);
    }

    // Away and back, page by page: what counts as one mapping differs between kernels. The
    // registration is lost on the way (no EVENT_REMAP).
    void move(char* at, std::size_t size) const
    {
        char* const elsewhere = start_ + 4096 * unit_;
        std::size_t moved = 0;
        for (char* page = at; page < at + size; page += unit_) {
            if (mremap(page, unit_, unit_, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) == MAP_FAILED)
                continue;
            if (mremap(elsewhere, unit_, unit_, MREMAP_MAYMOVE | MREMAP_FIXED, page) == MAP_FAILED)
                die("mremap back");
            ++moved;
        }
        std::printf("mremap %zu\n", moved);
    }

    void child(const Tracker& tracker, char* at, std::size_t size) const
    {
        std::fflush(stdout);
        const pid_t pid = fork();
        if (pid < 0)
            die("fork");
        if (pid == 0) {
            const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
            const Masks any{0, 0, 0, all_categories & ~page_is_soft_dirty};
            PmScanArg arg = scan_arg(at, size, any);
            print_scan(pagemap, arg, "child");
            std::fflush(stdout);
            _exit(0);
        }
        waitpid(pid, nullptr, 0);
        (void)tracker;
    }

    void scan(const Tracker& tracker, char* at, std::size_t size) const
    {
        const auto mask = [] {
            switch (pick(4)) {
            case 0:
                return std::uint64_t{0};
            case 1:
                return page_is_written;
            default:
                return std::uint64_t{pick(all_categories + 1)};
            }
        };
        Masks masks{mask() & mask(), mask() & mask(), mask(), mask()};
        // Only written pages of hugetlb: what does not exist there is armed by ours alone.
        if (huge_) {
            masks.inverted &= ~page_is_written;
            masks.mask |= page_is_written;
        }
        PmScanArg arg = scan_arg(at, size, pick(3) == 0 ? qualified : masks,
                                 pick(2) == 0 ? pm_scan_wp_matching : 0);
        if (!huge_ && pick(3) == 0)
            arg.max_pages = 1 + pick(300);
        print_scan(tracker, arg, "scan");
    }

    void print_scan(const Tracker& tracker, PmScanArg arg, const char* what) const
    {
        (void)tracker;
        static const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        print_scan(pagemap, arg, what);
    }

    void print_scan(int pagemap, PmScanArg& arg, const char* what) const
    {
        static std::array<PageRegion, 512> vec;
        set_vec(arg, vec.data(), vec.size());
        const int count = ioctl(pagemap, pagemap_scan_request, &arg);
        const int error = errno;
        std::printf("%s flags %llx inverted %llx mask %llx anyof %llx return %llx max %llu: ", what,
                    static_cast<unsigned long long>(arg.flags),
                    static_cast<unsigned long long>(arg.category_inverted),
                    static_cast<unsigned long long>(arg.category_mask),
                    static_cast<unsigned long long>(arg.category_anyof_mask),
                    static_cast<unsigned long long>(arg.return_mask),
                    static_cast<unsigned long long>(arg.max_pages));
        if (count < 0) {
            std::printf("errno %d\n", error);
            return;
        }
        std::printf("walk_end %lld", static_cast<long long>(
                                         arg.walk_end - reinterpret_cast<std::uintptr_t>(start_)) /
                                         static_cast<long long>(page_size));
        for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
            std::printf(" [%llu,%llu)=%llx",
                        static_cast<unsigned long long>(
                            (vec[i].start - reinterpret_cast<std::uintptr_t>(start_)) / page_size),
                        static_cast<unsigned long long>(
                            (vec[i].end - reinterpret_cast<std::uintptr_t>(start_)) / page_size),
                        static_cast<unsigned long long>(vec[i].categories));
        std::printf("\n");
    }

    char* start_;
    std::size_t unit_;
    bool huge_;
};

} // namespace

int main(int argc, char** argv)
{
    const std::uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 0) : 1;
    const std::size_t steps = argc > 2 ? std::strtoull(argv[2], nullptr, 0) : 3000;
    random_source.seed(seed);
    set_until_exit("/proc/sys/vm/nr_hugepages", "32");

    // The same addresses on every kernel, so that page tables begin at the same pages
    const Tracker tracker;
    Area small(reinterpret_cast<char*>(0x10'0000'3000), page_size, false);
    Area huge(reinterpret_cast<char*>(0x20'0000'0000), huge_page_size, true);
    // Keeps a page table where the huge pages are: without one mainline does not call them huge.
    char* const anchor = reinterpret_cast<char*>(0x20'3fff'0000);
    if (mmap(anchor, page_size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0) != anchor)
        die("mmap");
    for (std::size_t step = 0; step < steps; ++step)
        (pick(5) == 0 ? huge : small).step(tracker, step);
    small.dump(tracker);
    huge.dump(tracker);
    return finish();
}
