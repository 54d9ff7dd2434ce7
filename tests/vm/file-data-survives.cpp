// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Tracking writes to a shared mapping of a file must not cost the file its data: the file system is
// told of each page that becomes writable, and the dirty bit that the processor sets while a scan
// protects the page survives. Writers and a collector for some seconds, while the page cache is
// written back and dropped; then the file, read past the page cache, must hold what the memory
// held, and a copy made from the reported pages alone must be the same.
//
// Needs a file system that keeps account of dirty pages (ext4): scripts/vmtest --disk.
#include "tests/vm/guest.h"

#include <atomic>
#include <chrono>
#include <sys/statfs.h>
#include <thread>

using namespace guesttest;

namespace {

constexpr std::size_t pages = 1024;
constexpr long ext4_magic = 0xef53;

} // namespace

int main()
{
    struct statfs system {};
    if (statfs(".", &system) != 0 || system.f_type != ext4_magic)
        skip("the working directory is not on ext4");
    const int fd = open("file-data", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, pages * page_size) != 0)
        die("file-data");
    const Memory memory(pages, page_size, MAP_SHARED, fd);
    const Tracker tracker;
    tracker.watch(memory);
    tracker.arm(memory);

    std::atomic<bool> stop = false;
    std::vector<std::thread> threads;
    for (unsigned writer = 0; writer < 2; ++writer) {
        threads.emplace_back([&, writer] {
            std::mt19937_64 random(seed() + writer);
            for (std::uint64_t count = 1; !stop; ++count) {
                // Each writer has its own word of a page.
                auto* const words =
                    reinterpret_cast<volatile std::uint64_t*>(memory.page(random() % pages));
                words[writer] = count;
            }
        });
    }
    threads.emplace_back([&] {
        while (!stop) {
            fdatasync(fd);
            posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            (void)write_file("/proc/sys/vm/drop_caches", "1");
            memory.advise(MADV_DONTNEED);
            usleep(20'000);
        }
    });

    std::vector<char> copy(memory.size());
    std::size_t collected = 0;
    const auto collect = [&] {
        const Pages found = tracker.pages(memory, plain, pm_scan_wp_matching);
        for (const std::size_t page : found)
            std::memcpy(copy.data() + page * page_size, memory.page(page), page_size);
        collected += found.size();
        return found.size();
    };
    // Longer on a slow machine, until every page has been through it.
    const auto start = std::chrono::steady_clock::now();
    const std::chrono::seconds wanted(number_from("WRITEWATCH_SECONDS", 5));
    const std::chrono::seconds patience(60);
    for (std::chrono::nanoseconds passed{};
         passed < wanted || (collected <= 2 * pages && passed < patience);
         passed = std::chrono::steady_clock::now() - start)
        collect();
    stop = true;
    for (std::thread& thread : threads)
        thread.join();
    while (collect() > 0) {
    }
    CHECK(std::memcmp(copy.data(), memory.start(), memory.size()) == 0);

    // What reaches the disk is what the file system heard of.
    std::vector<char> expected(memory.start(), memory.start() + memory.size());
    memory.advise(MADV_DONTNEED);
    if (fsync(fd) != 0)
        die("fsync");
    void* buffer = nullptr;
    if (posix_memalign(&buffer, page_size, memory.size()) != 0)
        die("posix_memalign");
    const int direct = open("file-data", O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (direct < 0 ||
        pread(direct, buffer, memory.size(), 0) != static_cast<ssize_t>(memory.size()))
        die("read past the page cache");
    CHECK(std::memcmp(buffer, expected.data(), expected.size()) == 0);
    note("%zu pages collected", collected);
    CHECK(collected > 2 * pages);
    free(buffer);
    unlink("file-data");
    return finish();
}
