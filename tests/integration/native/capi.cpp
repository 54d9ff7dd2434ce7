// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The C API apart from what kind of memory it is used on: arguments, file descriptors, owners,
// threads that go away.
#include "tests/support/tracker.h"

#include <atomic>
#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>
#include <thread>

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
    return missing_backend();
}

namespace {

std::vector<int> open_fds()
{
    std::vector<int> fds;
    DIR* const directory = opendir("/proc/self/fd");
    REQUIRE(directory != nullptr);
    while (const dirent* const entry = readdir(directory)) {
        if (entry->d_name[0] != '.' && std::atoi(entry->d_name) != dirfd(directory))
            fds.push_back(std::atoi(entry->d_name));
    }
    closedir(directory);
    std::sort(fds.begin(), fds.end());
    return fds;
}

} // namespace

TEST_CASE("bad arguments are answered -EINVAL and change nothing", "[native]")
{
    const Tracker tracker;
    const Mapping m(8);
    REQUIRE(tracker.watch(m) == 0);
    m.write(2);
    void* pages[8];
    ww_range ranges[8];
    char* const start = m.start();
    constexpr std::size_t top = ~std::size_t{0};

    CHECK(ww_open(nullptr, nullptr) == -EINVAL);
    ww_tracker* other = nullptr;
    const ww_options short_options{sizeof(ww_options) - 1, nullptr};
    CHECK(ww_open(&short_options, &other) == -EINVAL);
    const ww_options unknown{sizeof(ww_options), "soft-dirty"};
    CHECK(ww_open(&unknown, &other) == -EINVAL);
    const ww_options empty{sizeof(ww_options), ""};
    CHECK(ww_open(&empty, &other) == -EINVAL);
    CHECK(other == nullptr);
    ww_close(nullptr);

    for (ww_tracker* const t : {static_cast<ww_tracker*>(nullptr)}) {
        CHECK(ww_watch(t, start, page, 0) == -EINVAL);
        CHECK(ww_unwatch(t, start, page) == -EINVAL);
        CHECK(ww_rearm(t, start, page) == -EINVAL);
        CHECK(ww_latch(t, start, page) == -EINVAL);
        CHECK(ww_reset(t, start, page) == -EINVAL);
        CHECK(ww_collect(t, start, page, 0, pages, 8) == -EINVAL);
        CHECK(ww_collect_ranges(t, start, page, 0, ranges, 8) == -EINVAL);
        CHECK(*ww_backend(t) == '\0');
        CHECK(*ww_backend_reason(t) == '\0');
    }
    const std::pair<void*, std::size_t> bad_ranges[] = {
        {start + 1, page},
        {start, 0},
        {start, top},
        {start, top - 4095},
        {nullptr, 0},
        {reinterpret_cast<void*>(top - 4095), page},
        {reinterpret_cast<void*>(std::uintptr_t{1} << 47), page},
        {reinterpret_cast<void*>((std::uintptr_t{1} << 47) - page), page + 1},
    };
    for (const auto& [address, bytes] : bad_ranges) {
        CAPTURE(address, bytes);
        CHECK(ww_watch(tracker, address, bytes, 0) == -EINVAL);
        CHECK(ww_watch(tracker, address, bytes, WW_FRESH) == -EINVAL);
        CHECK(ww_unwatch(tracker, address, bytes) == -EINVAL);
        CHECK(ww_rearm(tracker, address, bytes) == -EINVAL);
        CHECK(ww_latch(tracker, address, bytes) == -EINVAL);
        CHECK(ww_reset(tracker, address, bytes) == -EINVAL);
        CHECK(ww_collect(tracker, address, bytes, WW_RESET, pages, 8) == -EINVAL);
        CHECK(ww_collect_ranges(tracker, address, bytes, WW_RESET, ranges, 8) == -EINVAL);
    }
    CHECK(ww_collect(tracker, start, page, 2, pages, 8) == -EINVAL);
    CHECK(ww_collect(tracker, start, page, ~0u, pages, 8) == -EINVAL);
    CHECK(ww_collect(tracker, start, page, 0, nullptr, 8) == -EINVAL);
    CHECK(ww_collect(tracker, start, page, 0, pages, 0) == -EINVAL);
    CHECK(ww_collect_ranges(tracker, start, page, 0, nullptr, 8) == -EINVAL);
    CHECK(ww_watch(tracker, start, page, 2) == -EINVAL);

    CHECK(ww_watch(tracker, start, page, 0) == -EEXIST);
    CHECK(ww_watch(tracker, m.at(6), 2 * page, WW_FRESH) == -EEXIST);
    CHECK(ww_collect(tracker, m.at(7), 2 * page, 0, pages, 8) == -ENOENT);
    CHECK(ww_reset(tracker, m.at(7), 2 * page) == -ENOENT);
    CHECK(tracker.get(m) == Numbers{2});
}

TEST_CASE("a capacity larger than any array stands for every page", "[native]")
{
    const Tracker tracker;
    const Mapping m(8);
    REQUIRE(tracker.watch(m) == 0);
    m.write_all();
    void* pages[8];
    ww_range ranges[1];
    for (const std::size_t capacity : {std::size_t{8}, ~std::size_t{0}, ~std::size_t{0} / 16}) {
        CHECK(ww_collect(tracker, m.start(), m.bytes(), 0, pages, capacity) == 8);
        CHECK(ww_collect_ranges(tracker, m.start(), m.bytes(), 0, ranges, capacity) == 1);
    }
}

TEST_CASE("memory that is not mapped cannot be watched", "[native]")
{
    const Tracker tracker;
    const Mapping m(8);
    m.unmap(4, 1);
    CHECK(ww_watch(tracker, m.start(), m.bytes(), 0) == -ENOMEM);
    CHECK(ww_watch(tracker, m.at(4), page, 0) == -ENOMEM);
    // Nothing is left behind: the parts can be watched.
    CHECK(ww_watch(tracker, m.at(0), 4 * page, 0) == 0);
    CHECK(ww_watch(tracker, m.at(5), 3 * page, 0) == 0);
    m.write({1, 6});
    CHECK(tracker.collect(m, 0, 0, 4, 4) == Numbers{1});
    CHECK(tracker.collect(m, 0, 5, 3, 3) == Numbers{6});
}

TEST_CASE("a promise of fresh memory that is a lie about a hole fails and leaves nothing",
          "[native]")
{
    const Tracker tracker;
    const Tracker other;
    const Mapping m(8);
    m.unmap(4, 1);
    CHECK(ww_watch(tracker, m.start(), m.bytes(), WW_FRESH) == -ENOMEM);
    // Not even for the kernel: another tracker can have it.
    CHECK(ww_watch(other, m.at(0), 4 * page, 0) == 0);
    CHECK(ww_watch(other, m.at(5), 3 * page, 0) == 0);
}

TEST_CASE("a range has one tracker: a second is told -EBUSY, and changes nothing", "[native]")
{
    const Mapping m(8);
    const Tracker first;
    REQUIRE(first.watch(m) == 0);
    {
        const Tracker second;
        CHECK(second.watch(m) == -EBUSY);
        CHECK(ww_watch(second, m.at(7), page, 0) == -EBUSY);
        CHECK(ww_watch(second, m.at(7), page, WW_FRESH) == -EBUSY);
        CHECK(second.get(m) == Numbers{~std::size_t{0}, ENOENT});
        CHECK(ww_unwatch(second, m.start(), m.bytes()) == 0);
    }
    m.write({2, 3});
    CHECK(first.get_and_reset(m) == Numbers{2, 3});
    m.write(3);
    CHECK(first.get_and_reset(m) == Numbers{3});

    // Free again once it is unwatched, or its tracker closed.
    REQUIRE(ww_unwatch(first, m.at(0), 4 * page) == 0);
    {
        const Tracker second;
        CHECK(ww_watch(second, m.at(0), 4 * page, 0) == 0);
        m.write(1);
        CHECK(second.collect(m, 0, 0, 4, 4) == Numbers{1});
    }
    const Tracker third;
    CHECK(ww_watch(third, m.at(0), 4 * page, 0) == 0);
}

TEST_CASE("closing makes all memory plainly writable", "[native]")
{
    const Mapping m(8);
    {
        const Tracker tracker;
        REQUIRE(tracker.watch(m) == 0);
    }
    m.write_all();
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    REQUIRE(write(fds[1], "x", 1) == 1);
    CHECK(read(fds[0], m.at(3), 1) == 1);
    close(fds[0]);
    close(fds[1]);
}

TEST_CASE("file descriptors: closed on exec, none left behind, none needed for a get", "[native]")
{
    const std::vector<int> before = open_fds();
    for (int round = 0; round < 50; ++round) {
        const Tracker tracker;
        const Mapping m(8);
        REQUIRE(tracker.watch(m) == 0);
        m.write(1);
        CHECK(tracker.get_and_reset(m) == Numbers{1});
        for (const int fd : open_fds()) {
            if (std::find(before.begin(), before.end(), fd) == before.end())
                CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        }
    }
    CHECK(open_fds() == before);
    // Failing opens, too.
    ww_tracker* none = nullptr;
    const ww_options unknown{sizeof(ww_options), "nonsense"};
    CHECK(ww_open(&unknown, &none) == -EINVAL);
    CHECK(ww_capabilities(nullptr, sizeof(ww_capability), 0) > 0);
    CHECK(open_fds() == before);
}

TEST_CASE("without file descriptors to spare, open says so and leaks none", "[native]")
{
    if (is_mprotect())
        return; // needs none
    rlimit limit{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const std::vector<int> before = open_fds();
    const int lowest = dup(0);
    REQUIRE(lowest >= 0);
    close(lowest);
    const auto next = static_cast<rlim_t>(lowest);
    for (rlim_t spare = 0; spare < 6; ++spare) {
        CAPTURE(spare);
        const rlimit tight{next + spare, limit.rlim_max};
        REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
        ww_tracker* tracker = nullptr;
        const ww_options forced{sizeof(ww_options), "pagemap-scan"};
        const int error = ww_open(&forced, &tracker);
        REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        CHECK((error == 0 || error == -EMFILE));
        if (spare == 0)
            CHECK(error == -EMFILE);
        if (spare == 5)
            CHECK(error == 0);
        ww_close(tracker);
        CHECK(open_fds() == before);
    }
}

TEST_CASE("errno is left alone by collect and reset", "[native]")
{
    const Tracker tracker;
    const Mapping m(8);
    REQUIRE(tracker.watch(m) == 0);
    m.write(1);
    errno = 4711;
    CHECK(tracker.get_and_reset(m) == Numbers{1});
    CHECK(errno == 4711);
    m.write(1);
    CHECK(errno == 4711);
    CHECK(ww_reset(tracker, m.start(), m.bytes()) == 0);
    CHECK(errno == 4711);
}

// Writers need not know that somebody ends the watch on what they write.
TEST_CASE("memory may be written while it is watched, unwatched and its tracker closed", "[native]")
{
    const Mapping m(64);
    std::atomic<bool> stop{false};
    std::vector<std::thread> writers;
    for (int i = 0; i < 2; ++i) {
        writers.emplace_back([&] {
            while (!stop) {
                for (std::size_t n = 0; n < 64; ++n)
                    __atomic_fetch_add(m.at(n), 1, __ATOMIC_RELAXED);
            }
        });
    }
    for (int round = 0; round < 300; ++round) {
        const Tracker tracker;
        REQUIRE(tracker.watch(m) == 0);
        for (int i = 0; i < 5; ++i)
            CHECK(tracker.get_and_reset(m).size() <= 64);
        if (round % 2 == 0)
            CHECK(ww_unwatch(tracker, m.start(), m.bytes()) == 0);
    }
    stop = true;
    for (std::thread& writer : writers)
        writer.join();
}

#if !defined(                                                                                      \
    __SANITIZE_ADDRESS__) // it takes the unwound frames of a cancelled thread for live ones
// pthread_cancel ends a thread at a cancellation point; none of ours may be one, or the unwinding
// would meet a noexcept function and end the program.
TEST_CASE("a thread can be cancelled in any call; the tracker stays usable", "[native]")
{
    const Tracker tracker;
    const Mapping common(64);
    REQUIRE(tracker.watch(common) == 0);
    for (int round = 0; round < 200; ++round) {
        std::atomic<bool> running{false};
        struct Work {
            const Tracker& tracker;
            const Mapping& common;
            std::atomic<bool>& running;
            Mapping own{8};
        } work{tracker, common, running};
        pthread_t thread;
        REQUIRE(pthread_create(
                    &thread, nullptr,
                    [](void* argument) -> void* {
                        auto& w = *static_cast<Work*>(argument);
                        w.running = true;
                        for (;;) {
                            (void)ww_watch(w.tracker, w.own.start(), w.own.bytes(), 0);
                            w.own.write(1);
                            (void)w.tracker.get(w.common);
                            (void)ww_latch(w.tracker, w.own.start(), w.own.bytes());
                            mmap(w.own.start(), w.own.bytes(), PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
                            (void)ww_rearm(w.tracker, w.own.start(), w.own.bytes());
                            (void)ww_unwatch(w.tracker, w.own.start(), w.own.bytes());
                            (void)ww_capabilities(nullptr, sizeof(ww_capability), 0);
                            pthread_testcancel();
                        }
                    },
                    &work) == 0);
        while (!running)
            std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::microseconds(round * 5));
        REQUIRE(pthread_cancel(thread) == 0);
        REQUIRE(pthread_join(thread, nullptr) == 0);
        common.write(5);
        CHECK(tracker.get_and_reset(common) == Numbers{5});
        (void)ww_unwatch(tracker, work.own.start(), work.own.bytes());
    }
}
#endif
