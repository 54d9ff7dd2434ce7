// SPDX-License-Identifier: LGPL-2.1-or-later
//
// fork, raw clone, vfork and posix_spawn with trackers in use.
#include "tests/support/tracker.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <dirent.h>
#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <thread>

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
    return missing_backend();
}

extern char** environ;

namespace {

// With pagemap-scan, what was populated at the fork reads as written in the child; mprotect's state
// comes along.
Numbers expected_in_child(const Numbers& written, const Numbers& populated)
{
    return is_mprotect() ? written : populated;
}

int check_child(const Tracker& tracker, const Mapping& m)
{
    // Pages 1, 2 and 3 are populated, 3 is written.
    if (tracker.get(m) != expected_in_child({3}, {1, 2, 3}))
        return 1;
    if (tracker.get_and_reset(m) != expected_in_child({3}, {1, 2, 3}))
        return 2;
    if (!tracker.get(m).empty())
        return 3;
    m.write({2, 6}); // exact from here on
    if (tracker.get_and_reset(m) != Numbers{2, 6})
        return 4;
    // Watching more, and a grandchild.
    static const Mapping own(8);
    if (tracker.watch(own) != 0)
        return 5;
    own.write(7);
    if (tracker.get_and_reset(own) != Numbers{7})
        return 6;
    own.write(5);
    const pid_t grandchild = fork();
    if (grandchild == 0) {
        if (tracker.get_and_reset(own) != expected_in_child({5}, {5, 7}))
            _exit(1);
        own.write(1);
        _exit(tracker.get_and_reset(own) == Numbers{1} ? 0 : 2);
    }
    int status = 0;
    if (waitpid(grandchild, &status, 0) != grandchild || status != 0)
        return 7;
    return tracker.get(own) == Numbers{5} ? 0 : 8;
}

struct Prepared {
    Tracker tracker;
    Mapping m{8};

    Prepared()
    {
        REQUIRE(tracker.watch(m) == 0);
        m.write({1, 2});
        REQUIRE(tracker.get_and_reset(m) == Numbers{1, 2});
        m.write(3);
    }
};

pid_t raw_clone()
{
    return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

} // namespace

TEST_CASE("a child over-reports once and is exact then; the parent does not notice",
          "[native][fork]")
{
    const Prepared p;
    CHECK(in_child([&] { return check_child(p.tracker, p.m); }) == 0);
    CHECK(p.tracker.get_and_reset(p.m) == Numbers{3});
    p.m.write(4);
    CHECK(p.tracker.get_and_reset(p.m) == Numbers{4});
}

TEST_CASE("a child of a raw clone is as one of fork", "[native][fork]")
{
    const Prepared p;
    const pid_t child = raw_clone();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(check_child(p.tracker, p.m));
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(p.tracker.get_and_reset(p.m) == Numbers{3});
}

TEST_CASE("every call may be a child's first", "[native][fork]")
{
    const Prepared p;
    const int call = GENERATE(0, 1, 2, 3, 4, 5, 6);
    CAPTURE(call);
    CHECK(in_child([&] {
              void* const start = p.m.start();
              int answer = 0;
              switch (call) {
              case 0:
                  answer = ww_latch(p.tracker, start, p.m.bytes());
                  break;
              case 1:
                  answer = ww_reset(p.tracker, start, p.m.bytes());
                  break;
              case 2:
                  answer = ww_unwatch(p.tracker, p.m.at(7), page);
                  break;
              case 3:
                  answer = ww_rearm(p.tracker, p.m.at(7), page);
                  break;
              case 4: {
                  const Mapping other(4);
                  answer = other.error() != 0 ? 1 : p.tracker.watch(other);
                  break;
              }
              case 5:
                  ww_close(p.tracker);
                  p.m.write({0, 1, 2, 3, 4, 5, 6, 7});
                  return 0;
              default:
                  break;
              }
              if (answer != 0)
                  return 1;
              p.m.write(5);
              const Numbers found = p.tracker.collect(p.m, 0, 0, 7, 8);
              if (std::count(found.begin(), found.end(), 5) != 1)
                  return 2;
              return call == 1 && found != Numbers{5} ? 3 : 0;
          }) == 0);
    CHECK(p.tracker.get_and_reset(p.m) == Numbers{3});
}

TEST_CASE("latched pages are latched in the child", "[native][fork]")
{
    const Prepared p;
    REQUIRE(ww_latch(p.tracker, p.m.start(), p.m.bytes()) == 0);
    REQUIRE(madvise(p.m.start(), p.m.bytes(), MADV_DONTNEED) == 0);
    CHECK(in_child([&] { return p.tracker.get(p.m) == Numbers{3} ? 0 : 1; }) == 0);
    CHECK(p.tracker.get(p.m) == Numbers{3});
}

TEST_CASE("a region whose memory was unmapped untold does not spoil the others in a child",
          "[native][fork]")
{
    const Prepared p;
    const Mapping gone(8);
    REQUIRE(p.tracker.watch(gone) == 0);
    gone.unmap(0, 8);
    const Mapping holed(8);
    REQUIRE(p.tracker.watch(holed) == 0);
    if (!is_mprotect())
        holed.unmap(3, 1);
    CHECK(in_child([&] {
              if (p.tracker.get(p.m) != expected_in_child({3}, {1, 2, 3}))
                  return 1;
              p.m.write(5);
              const Numbers found = p.tracker.get(p.m);
              return std::count(found.begin(), found.end(), 5) == 1 ? 0 : 2;
          }) == 0);
}

TEST_CASE("a child whose file descriptors are used up answers an error and recovers",
          "[native][fork]")
{
    if (is_mprotect())
        return; // needs none
    const Prepared p;
    CHECK(in_child([&] {
              std::vector<int> fds;
              for (int fd = dup(0); fd >= 0; fd = dup(0))
                  fds.push_back(fd);
              if (p.tracker.get(p.m) != Numbers{~std::size_t{0}, EMFILE})
                  return 1;
              for (const int fd : fds)
                  close(fd);
              return p.tracker.get(p.m) == Numbers{1, 2, 3} ? 0 : 2;
          }) == 0);
}

TEST_CASE("vfork and posix_spawn leave everything as it is", "[native][fork]")
{
    const Prepared p;
    char* const arguments[] = {const_cast<char*>("true"), nullptr};
    for (int round = 0; round < 5; ++round) {
        pid_t child = 0;
        REQUIRE(posix_spawnp(&child, "true", nullptr, nullptr, arguments, environ) == 0);
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        CHECK(status == 0);
        const pid_t second = vfork(); // NOLINT(*-security.insecureAPI.vfork): what is tested
        if (second == 0) {
            execvp("true", arguments);
            _exit(127);
        }
        REQUIRE(waitpid(second, &status, 0) == second);
        CHECK(status == 0);
    }
    CHECK(p.tracker.get_and_reset(p.m) == Numbers{3});
}

// What a program that this one executes sees of its own descriptors, as `ls -l /proc/self/fd`.
std::string descriptors_after_exec(int way)
{
    std::array<int, 2> channel{};
    REQUIRE(pipe2(channel.data(), O_CLOEXEC) == 0);
    char* const arguments[] = {const_cast<char*>("ls"), const_cast<char*>("-l"),
                               const_cast<char*>("/proc/self/fd"), nullptr};
    pid_t child = 0;
    if (way == 0) {
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, channel[1], 1);
        REQUIRE(posix_spawnp(&child, "ls", &actions, nullptr, arguments, environ) == 0);
        posix_spawn_file_actions_destroy(&actions);
    } else {
        // NOLINTNEXTLINE(*-security.insecureAPI.vfork,*-unix.Vfork): what is tested
        child = way == 1 ? fork() : vfork();
        if (child == 0) {
            if (dup2(channel[1], 1) != 1)
                _exit(126);
            execvp("ls", arguments);
            _exit(127);
        }
    }
    close(channel[1]);
    std::string text;
    std::array<char, 4096> piece;
    for (ssize_t got = 0; (got = read(channel[0], piece.data(), piece.size())) > 0;)
        text.append(piece.data(), static_cast<std::size_t>(got));
    close(channel[0]);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    return text;
}

TEST_CASE("an executed program gets no descriptor of ours, and starts afresh", "[native][fork]")
{
    const Prepared p;
    const int way = GENERATE(0, 1, 2); // posix_spawn, fork, vfork
    CAPTURE(way);
    const std::string seen = descriptors_after_exec(way);
    CAPTURE(seen);
    CHECK(seen.find("pipe:") != std::string::npos);
    for (const char* const ours : {"userfaultfd", "pagemap", "writewatch."})
        CHECK(seen.find(ours) == std::string::npos);
    CHECK(p.tracker.get_and_reset(p.m) == Numbers{3});

    // This very program, as a child: what it inherits must not be in its way.
    CHECK(in_child([] {
              execl("/proc/self/exe", "native-fork", "a child of a raw clone is as one of fork",
                    "--reporter", "compact", "--out", "/dev/null", nullptr);
              return 126;
          }) == 0);
}

// Daemons close all descriptors that they do not know, and open their own.
TEST_CASE("a descriptor that the program put in the place of ours is left alone in a child",
          "[native][fork]")
{
    if (is_mprotect())
        return; // has none
    const int lowest = dup(0);
    close(lowest);
    const Prepared p;
    std::array<int, 2> channel{};
    REQUIRE(pipe2(channel.data(), O_CLOEXEC) == 0);
    // userfaultfd and pagemap.
    for (int fd = lowest; fd < lowest + 2; ++fd)
        REQUIRE(dup2(channel[1], fd) == fd);
    CHECK(in_child([&] {
              for (int fd = lowest; fd < lowest + 2; ++fd) {
                  if (write(fd, "x", 1) != 1)
                      return 1;
              }
              return 0;
          }) == 0);
    close(channel[0]);
    close(channel[1]);
}

TEST_CASE("trackers, regions and forks leave no descriptor behind", "[native][fork]")
{
    const auto open_now = [] {
        std::size_t count = 0;
        DIR* const directory = opendir("/proc/self/fd");
        REQUIRE(directory != nullptr);
        while (readdir(directory) != nullptr)
            ++count;
        closedir(directory);
        return count;
    };
    const auto once = [&open_now]() -> int {
        const Prepared p;
        std::size_t inside = open_now();
        const int in_child_of_it = in_child([&] {
            // Inherited, then replaced by its own: as many.
            if (check_child(p.tracker, p.m) != 0)
                return 1;
            return open_now() == inside ? 0 : 2;
        });
        for (int i = 0; i < 10; ++i) {
            const Mapping m(4);
            if (p.tracker.watch(m) != 0)
                return 3;
            m.write(1);
            if (p.tracker.get_and_reset(m) != Numbers{1} ||
                ww_unwatch(p.tracker, m.start(), m.bytes()) != 0)
                return 4;
        }
        return open_now() == inside ? in_child_of_it : 5;
    };
    REQUIRE(once() == 0); // what is opened once per process
    const std::size_t before = open_now();
    for (int round = 0; round < 20; ++round)
        REQUIRE(once() == 0);
    CHECK(open_now() == before);
}

// Locks and tables must be whole in a child, whatever the other threads were doing; raw clone
// knows nothing of pthread_atfork.
TEST_CASE("forks while other threads watch, collect and log", "[native][fork]")
{
#if defined(__SANITIZE_THREAD__)
    const bool raw =
        false; // ThreadSanitizer's runtime does not survive a clone that it did not see
#else
    const bool raw = GENERATE(false, true);
#endif
    const Prepared p;
    std::atomic<bool> stop{false};
    std::atomic<unsigned> bad{0};
    std::vector<std::thread> threads;
    // Made here: Catch2's assertions are for one thread.
    struct Workplace {
        Tracker own_tracker;
        Mapping own{16};
        Mapping theirs{16};
    };
    std::array<Workplace, 3> workplaces;
    threads.reserve(workplaces.size());
    for (const Workplace& workplace : workplaces) {
        threads.emplace_back([&] {
            const auto& [own_tracker, own, theirs] = workplace;
            while (!stop) {
                bad += own_tracker.watch(own) != 0;
                own.write(3);
                bad += own_tracker.get_and_reset(own) != Numbers{3};
                bad += ww_watch(own_tracker, own.start(), page, 0) != -EEXIST; // logs
                bad += p.tracker.watch(theirs) != 0;
                theirs.write(5);
                bad += p.tracker.get_and_reset(theirs) != Numbers{5};
                bad += ww_unwatch(p.tracker, theirs.start(), theirs.bytes()) != 0;
                bad += ww_unwatch(own_tracker, own.start(), own.bytes()) != 0;
            }
        });
    }
    for (int round = 0; round < 100; ++round) {
        const pid_t child = raw ? raw_clone() : fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            // malloc's locks are not whole after a raw clone: no allocation here.
            alarm(20);
            void* found[8];
            const long n = ww_collect(p.tracker, p.m.start(), p.m.bytes(), WW_RESET, found, 8);
            if (n == -ENOENT && raw)
                _exit(0); // the table was just being changed: it is emptied then
            if (n != (is_mprotect() ? 1 : 3))
                _exit(1);
            p.m.write(6);
            if (ww_collect(p.tracker, p.m.start(), p.m.bytes(), WW_RESET, found, 8) != 1 ||
                found[0] != p.m.at(6))
                _exit(2);
            if (!raw && ww_watch(p.tracker, p.m.start(), page, 0) != -EEXIST) // logs
                _exit(3);
            _exit(0);
        }
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(status == 0);
    }
    stop = true;
    for (std::thread& thread : threads)
        thread.join();
    CHECK(bad == 0);
    CHECK(p.tracker.get_and_reset(p.m) == Numbers{3});
}

#if !defined(__SANITIZE_THREAD__) // its runtime runs handlers when a call has ended
// A signal handler may fork while its thread is inside a call, and both processes return into it.
// The child's half must neither take the parent's pages nor return fewer than were written.
TEST_CASE("a fork from inside a call: both sides finish it, neither takes the other's pages",
          "[native][fork]")
{
    const bool by_reset = GENERATE(false, true);
    CAPTURE(by_reset);
    // mprotect splits a mapping for each of them.
    const std::size_t pages = is_mprotect() ? 1024 : 8192;
    static std::array<void*, 8192> found;
    const Tracker tracker;
    const Mapping m(pages);
    REQUIRE(tracker.watch(m) == 0);

    static volatile std::sig_atomic_t inside;
    static volatile std::sig_atomic_t forked;
    static volatile std::sig_atomic_t is_child;
    static volatile std::sig_atomic_t child_status;
    struct sigaction action = {};
    action.sa_handler = [](int) {
        if (inside == 0 || forked != 0)
            return;
        forked = 1;
        const pid_t child = fork();
        if (child == 0) {
            is_child = 1;
            return;
        }
        // The parent's call goes on when the child's has done what harm it can.
        int status = -1;
        (void)waitpid(child, &status, 0);
        child_status = status;
    };
    struct sigaction before = {};
    REQUIRE(sigaction(SIGALRM, &action, &before) == 0);

    int forks = 0;
    for (int round = 0; round < 120; ++round) {
        for (std::size_t i = 0; i < pages; i += 2)
            m.write(i);
        forked = 0;
        child_status = 0;
        // At a moment of a call that takes some hundred microseconds.
        const itimerval soon{{0, 0}, {0, 1 + round * 37 % 400}};
        inside = 1;
        setitimer(ITIMER_REAL, &soon, nullptr);
        const itimerval never{};
        const long got = by_reset ? ww_reset(tracker, m.start(), m.bytes())
                                  : ww_collect(tracker, m.start(), m.bytes(), WW_RESET,
                                               found.data(), found.size());
        inside = 0;
        if (is_child != 0) {
            signal(SIGALRM, SIG_DFL);
            alarm(20);
            if (got < (by_reset ? 0 : static_cast<long>(pages / 2)))
                _exit(1);
            m.write(511);
            const long now =
                ww_collect(tracker, m.start(), m.bytes(), WW_RESET, found.data(), found.size());
            _exit(std::find(found.begin(), found.begin() + std::max(now, 0L), m.at(511)) !=
                          found.begin() + std::max(now, 0L)
                      ? 0
                      : 2);
        }
        setitimer(ITIMER_REAL, &never, nullptr);
        forks += forked;
        REQUIRE(child_status == 0);
        REQUIRE(got == (by_reset ? 0 : static_cast<long>(pages / 2)));
        REQUIRE(tracker.get(m).empty());
    }
    CHECK(forks > 10);
    sigaction(SIGALRM, &before, nullptr);
}
#endif
