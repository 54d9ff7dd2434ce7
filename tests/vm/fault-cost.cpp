// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What page faults, protection changes and unmapping cost programs that do not track writes: run it
// on a kernel with and one without the series (docs/kernel.md has the table). Under
// `scripts/vmtest --count-instructions` the guest's clock advances by one nanosecond per
// instruction, so what is printed are instructions, the same in every run and whatever else the
// machine does. Not a test: prints a table and never fails.
#include "tests/vm/guest.h"

#include <algorithm>
#include <ctime>

using namespace guesttest;

namespace {

constexpr std::size_t count = 512; // pages: one page table

std::uint64_t now()
{
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(time.tv_nsec);
}

// The median of some repetitions of `work`, each after `prepare`, divided by `per`
template<typename Prepare, typename Work>
void measure(const char* name, std::size_t per, Prepare prepare, Work work)
{
    std::vector<std::uint64_t> times;
    for (int i = 0; i < 15; ++i) {
        prepare();
        const std::uint64_t start = now();
        work();
        times.push_back(now() - start);
    }
    std::sort(times.begin(), times.end());
    std::printf("%-44s %8.1f\n", name,
                static_cast<double>(times[times.size() / 2]) / static_cast<double>(per));
    std::fflush(stdout);
}

} // namespace

int main()
{
    const auto nothing = [] {};
    const Memory memory(count, huge_page_size);
    memory.advise(MADV_NOHUGEPAGE);
    const auto drop = [&memory] { memory.advise(MADV_DONTNEED); };
    const auto write_all = [&memory] { memory.write_all(); };
    const auto read_all = [&memory] {
        for (std::size_t page = 0; page < count; ++page)
            memory.read(page);
    };

    measure("system call (for comparison)", count, nothing, [] {
        for (std::size_t i = 0; i < count; ++i)
            syscall(SYS_getppid);
    });
    measure("first write to anonymous memory, per page", count, drop, write_all);
    measure("first read of anonymous memory, per page", count, drop, read_all);
    measure(
        "write after a read (zero page), per page", count,
        [&] {
            drop();
            read_all();
        },
        write_all);
    measure("mprotect of populated memory and back, per page", count, write_all, [&memory] {
        memory.protect(PROT_READ);
        memory.protect(PROT_READ | PROT_WRITE);
    });
    measure(
        "write after mprotect, per page", count,
        [&memory] {
            memory.write_all();
            memory.protect(PROT_READ);
            memory.protect(PROT_READ | PROT_WRITE);
        },
        write_all);
    measure("MADV_DONTNEED of populated memory, per page", count, write_all, drop);
    measure("fork and wait with 512 pages", 1, write_all, [] {
        const pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, nullptr, 0);
    });
    measure("write in a forked child (copy), per page", count, write_all, [&memory] {
        const pid_t child = fork();
        if (child == 0) {
            memory.write_all();
            _exit(0);
        }
        waitpid(child, nullptr, 0);
    });

    const int fd = memory_file(count * page_size);
    const Memory shared(count, huge_page_size, MAP_SHARED, fd);
    shared.write_all();
    const auto unmap = [&shared] { shared.advise(MADV_DONTNEED); };
    measure("write to shared memory in the page cache, per page", count, unmap,
            [&shared] { shared.write_all(); });
    measure("read of shared memory in the page cache, per page", count, unmap, [&shared] {
        for (std::size_t page = 0; page < count; ++page)
            shared.read(page);
    });
    const Memory copied(count, huge_page_size, MAP_PRIVATE, fd);
    measure(
        "write to a private file mapping, per page", count,
        [&copied] { copied.advise(MADV_DONTNEED); }, [&copied] { copied.write_all(); });
    return 0;
}
