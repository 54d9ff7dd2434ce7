// SPDX-License-Identifier: LGPL-2.1-or-later
//
// fork, raw clone, vfork and posix_spawn with trackers in use.
#include "tests/support/tracker.h"

#include <array>
#include <atomic>
#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>
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
        const pid_t second = vfork();
        if (second == 0) {
            execvp("true", arguments);
            _exit(127);
        }
        REQUIRE(waitpid(second, &status, 0) == second);
        CHECK(status == 0);
    }
    CHECK(p.tracker.get_and_reset(p.m) == Numbers{3});
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
