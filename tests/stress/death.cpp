// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A thread that ends at any instruction of any public call leaves the library usable: no lock is
// held, no file is left open, all calls about the same and other regions answer, and right, but for
// pages that are reported once more.
//
// The victim steps through a call (stepping.h) and is ended at its nth instruction. Where the
// library has blocked signals, the first instruction stands for all until it lets them again. Three
// ways:
//
//   exit       pthread_exit in a handler of SIGQUIT, as Wine's TerminateThread. The signal is sent
//   at
//              that instruction and arrives there, or where the library lets it.
//   cancel     pthread_cancel by another thread, type asynchronous. glibc lets nobody block its
//              signal, so it arrives there in any case.
//   deferred   the same, type deferred: at a cancellation point.
//
// Both are unwindings: one that meets a function with an exception table ends the process, which
// is a failure. (POSIX lets a program with asynchronous cancellation call next to nothing. A
// garbage collector's or an emulator's way of ending a thread by a signal is no different.)
//
// What the call would have returned is lost with the thread: the pages of a get with reset, a
// region, a handle, a tracker. Those are the caller's.
//
// Usage: stress-death [--every N] [--limit SECONDS] [--only CALL] [--plant mutex|file|lost]
//        stress-death --self-test
//
// --every 1 ends a thread at each instruction; 97, the default, at every 97th. Exit status 0: so
// it was; 1: not; 2: a deadlock; 77: no backend. WRITEWATCH_BACKEND chooses it.
#include "tests/stress/calls.h"
#include "tests/stress/options.h"
#include "tests/stress/require.h"
#include "tests/stress/self_test.h"
#include "tests/stress/watchdog.h"
#include "tests/support/futex.h"
#include "tests/support/stepping.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <mutex>
#include <pthread.h>
#include <string_view>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace {

using writewatch::test::wait_while;
using writewatch::test::wake_all;

using calls::Interface;
using calls::Kept;

constexpr Interface interfaces[] = {Interface::win32, Interface::c};

enum class Way : std::uint8_t { exit, cancel, deferred };
constexpr const char* way_names[] = {"exit", "cancel", "deferred"};

enum class Plant : std::uint8_t { nothing, mutex, file, lost };
Plant plant = Plant::nothing;
std::mutex planted_lock;

calls::World world;
calls::World witness; // no victim ever calls anything about its regions

const calls::Call* call = nullptr;
Way way = Way::exit;
std::uint64_t last_step = 0; // where the victim is to end
std::atomic<std::uint64_t> steps{0};
std::atomic<std::uintptr_t> ended_at{0};
std::atomic<std::uint64_t> progress{0};
std::atomic<const char*> doing{"starting"};

// 1: the victim waits to be cancelled; 2: it has been.
std::atomic<std::uint32_t> cancelling{0};

// What this thread did, for whoever reads the message.
void tell(const char* what)
{
    std::fprintf(stderr, "%s: %s; thread ended (%s) at step %lu, 0x%lx, of %s\n",
                 std::string_view(what) == "DEADLOCK" ? what : "FAILED", doing.load(),
                 way_names[static_cast<int>(way)], last_step, ended_at.load(),
                 call != nullptr ? call->name : "no call");
    if (std::string_view(what) != "DEADLOCK")
        std::fprintf(stderr, "%s\n", what);
    std::fflush(nullptr);
}

[[noreturn]] void fail(const char* what)
{
    tell(what);
    std::_Exit(1);
}

void set_cancelling(std::uint32_t value)
{
    cancelling = value;
    wake_all(cancelling);
}

void at_instruction(int, siginfo_t*, void* context)
{
    auto& where = *static_cast<ucontext_t*>(context);
    if (++steps != last_step) {
        if (stepping::blocks(where, SIGQUIT)) {
            stepping::stop_in(where);
            raise(SIGUSR2);
        }
        return;
    }
    ended_at = stepping::address(where);
    stepping::stop_in(where);
    if (way == Way::exit) {
        raise(SIGQUIT); // blocked in here: arrives at the instruction
        return;
    }
    set_cancelling(1);
    wait_while(cancelling, 1); // an asynchronous cancellation ends the thread in here
}

void at_next_step(int, siginfo_t*, void* context)
{
    stepping::start_in(*static_cast<ucontext_t*>(context));
}

void at_end(int, siginfo_t*, void*)
{
    pthread_exit(nullptr);
}

void install()
{
    struct sigaction action = {};
    action.sa_sigaction = at_instruction;
    action.sa_flags = SA_SIGINFO;
    sigaddset(&action.sa_mask, SIGQUIT);
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGTRAP, &action, nullptr);
    stepping::install(SIGUSR2, at_next_step);
    stepping::install(SIGQUIT, at_end);
}

// Not the thread's result: where pthread_setcancelstate carries out a cancellation that has waited,
// glibc 2.36 leaves there what an earlier thread on the same stack returned.
std::atomic<bool> came_to_the_end{false};

void* victim(void*)
{
    int old = 0;
    if (way != Way::exit)
        pthread_setcanceltype(
            way == Way::cancel ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED, &old);
    if (plant == Plant::mutex)
        planted_lock.lock();
    if (plant == Plant::file)
        (void)open("/dev/null", O_RDONLY | O_CLOEXEC);
    stepping::start();
    call->make(world);
    stepping::stop();
    if (plant == Plant::mutex)
        planted_lock.unlock();
    if (steps >= last_step && way != Way::exit)
        pthread_testcancel();
    came_to_the_end = true;
    return nullptr;
}

// True when the victim's call ended before the thread did.
bool run_victim()
{
    steps = 0;
    cancelling = 0;
    came_to_the_end = false;
    doing = "the call";
    pthread_t thread{};
    if (pthread_create(&thread, nullptr, victim, nullptr) != 0)
        fail("pthread_create");
    if (way != Way::exit) {
        // Its end is the other way out: seen by a thread that is joined in between.
        timespec soon{};
        for (;;) {
            clock_gettime(CLOCK_REALTIME, &soon);
            if (cancelling == 1) {
                pthread_cancel(thread);
                set_cancelling(2);
                break;
            }
            soon.tv_nsec += 50'000;
            if (soon.tv_nsec >= 1'000'000'000) {
                soon.tv_nsec -= 1'000'000'000;
                ++soon.tv_sec;
            }
            if (pthread_timedjoin_np(thread, nullptr, &soon) == 0)
                return came_to_the_end;
        }
    }
    pthread_join(thread, nullptr);
    return came_to_the_end;
}

std::size_t open_files()
{
    DIR* const directory = opendir("/proc/self/fd");
    std::size_t count = 0;
    while (readdir(directory) != nullptr)
        ++count;
    closedir(directory);
    return count;
}

Kept ask(const calls::World& about, Interface interface, bool reset)
{
    const Kept found = calls::get(about, interface, reset);
    if (found == ~Kept{0})
        fail("a get fails");
    return plant == Plant::lost ? found & ~(Kept{1} << 3) : found;
}

constexpr Kept page_3 = Kept{1} << 3;

// fork waits for every lock of the library, and the child begins with all of them.
void check_fork()
{
    doing = "a child";
    const pid_t child = fork();
    if (child == 0) {
        alarm(10);
        for (const Interface interface : interfaces) {
            calls::write(world, interface, 3);
            if ((calls::get(world, interface, true) & page_3) == 0)
                _exit(1);
        }
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        fail("a child");
}

void check_usable(std::uint64_t number)
{
    if (plant == Plant::mutex) {
        doing = "the planted lock";
        const std::lock_guard lock(planted_lock);
    }
    for (const calls::Question& question : calls::questions()) {
        if (question.slow && number % question.rare != 0)
            continue;
        doing = question.name;
        if (!question.ask(world))
            fail("a wrong answer");
    }
    for (const Interface interface : interfaces) {
        doing = "the region of the call";
        calls::write(world, interface, 3);
        if ((ask(world, interface, false) & page_3) == 0 ||
            (ask(world, interface, true) & page_3) == 0)
            fail("a write after it is not reported");
        calls::write(world, interface, 3);
        if ((ask(world, interface, true) & page_3) == 0)
            fail("a write after a reset is not reported");
        (void)ask(world, interface, true);
        if (ask(world, interface, false) != 0)
            fail("a page stays reported");
        doing = "another region";
        if (ask(witness, interface, true) != page_3 || ask(witness, interface, false) != 0)
            fail("what was written to another region is not what is reported");
        calls::write(witness, interface, 3);
    }
    if (number % 64 == 0)
        check_fork();
}

struct Count {
    std::uint64_t points = 0;
    std::uint64_t deaths = 0;
};

// Ends threads in one call, until one comes to its end.
Count end_in(const calls::Call& in, std::uint64_t every, std::uint64_t& number)
{
    call = &in;
    Count count;
    for (last_step = 1 + number % every;; last_step += every) {
        doing = "preparations";
        in.prepare(world);
        const std::size_t files = open_files();
        const bool finished = run_victim();
        ++progress;
        if (finished) {
            count.points = steps;
            doing = "the end of the call";
            if (!in.finish(world))
                fail("what the call did cannot be undone");
            return count;
        }
        ++count.deaths;
        const std::size_t more = open_files();
        if (more > files + in.returns_files)
            fail("files are left open");
        check_usable(++number);
        // What it left is nobody's now.
        (void)in.finish(world);
    }
}

int run(std::uint64_t every, unsigned limit, const char* only)
{
    if (!calls::open(world) || !calls::open(witness))
        return stress::no_backend();
    // Nothing is to be met for the first time below, symbols included.
    for (const calls::Call& each : calls::all()) {
        call = &each;
        each.prepare(world);
        if (!each.make(world) || !each.finish(world))
            fail("the call, untouched");
    }
    for (const Interface interface : interfaces) {
        (void)ask(witness, interface, true);
        calls::write(witness, interface, 3);
    }
    install();
    signal(SIGABRT, [](int) {
        tell("the process was ended");
        std::_Exit(1);
    });

    std::atomic<bool> done{false};
    std::thread watchdog([&] {
        stress::watch_for_deadlock(
            done, limit, [] { return progress.load(); }, [](std::uint64_t) { tell("DEADLOCK"); });
    });
    std::uint64_t number = 0;
    for (way = Way::exit;; way = static_cast<Way>(static_cast<int>(way) + 1)) {
        std::uint64_t deaths = 0;
        for (const calls::Call& next : calls::all()) {
            if (only != nullptr && std::strstr(next.name, only) == nullptr)
                continue;
            const Count count = end_in(next, every, number);
            deaths += count.deaths;
            std::printf("%-9s%6lu instructions, %6lu ends: %s\n", way_names[static_cast<int>(way)],
                        count.points, count.deaths, next.name);
        }
        std::printf("%s: %lu threads ended by %s\n", ww_backend(world.tracker), deaths,
                    way_names[static_cast<int>(way)]);
        if (way == Way::deferred)
            break;
    }
    done = true;
    watchdog.join();
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    bool self_test = false;
    std::uint64_t every = 97;
    unsigned limit = 0;
    std::string only;
    CLI::App app("Ends a thread at instructions of each call");
    app.add_flag("--self-test", self_test, "find each planted mistake");
    app.add_option("--every", every, "end one at every Nth instruction")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--limit", limit, "seconds after which it is a deadlock (10)");
    app.add_option("--only", only, "calls whose name contains this");
    stress::add_plant<Plant>(
        app, plant, {{"mutex", Plant::mutex}, {"file", Plant::file}, {"lost", Plant::lost}});
    if (const auto status = stress::parse(app, argc, argv))
        return *status;
    if (self_test)
        return stress::find_planted({{"mutex", 2}, {"file", 1}, {"lost", 1}});
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    return run(every,
               limit != 0              ? limit
               : plant == Plant::mutex ? 1
                                       : 10,
               only.empty() ? nullptr : only.c_str());
}
