// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A thread suspended at any instruction of any public call keeps nobody waiting, and no write gets
// lost over it.
//
// The victim steps through one call after the other (stepping.h) and stops at each instruction at
// which a suspending signal (SIGUSR1, as Wine's SuspendThread) could have been delivered. Where the
// library has blocked the signal it is sent: the victim runs on and stops where it arrives. While
// it is stopped another thread writes, asks what was written, and puts one further question
// (calls.h), which changes from stop to stop by a fixed pseudo-random sequence, so that all
// questions meet all points. It has ten seconds; then it is waiting for the victim. That is one
// round.
//
// With the mprotect backend the victim also stops in the library's handler of SIGSEGV.
//
// The books: pages of `kept` are reset by nothing but gets that return them. While the victim is
// stopped everything happens one after the other, so each page known to be written must be in the
// other thread's next result, or in that of the get with reset in which the victim is stopped. If
// pages are latched and others are written meanwhile, such a get may find that it took a page too
// many, and give it back: then it is reported late, which is counted (docs/deviations.md).
//
// Usage: stress-suspension --help
//        stress-suspension --self-test
//
// Exit status 0: so it was; 1: a wrong answer, or a lost write; 2: a deadlock; 77: no backend.
// WRITEWATCH_BACKEND chooses it. --self-test runs itself with mistakes planted around the library:
// a lock held over the calls, pages dropped from results. They must be found.
#include "tests/stress/calls.h"
#include "tests/stress/options.h"
#include "tests/stress/require.h"
#include "tests/stress/self_test.h"
#include "tests/stress/watchdog.h"
#include "tests/support/futex.h"
#include "tests/support/stepping.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <mutex>
#include <thread>
#include <unistd.h>

namespace {

using writewatch::test::wait_while;
using writewatch::test::wake_all;

using calls::Interface;
using calls::Kept;

enum class Plant : std::uint8_t { nothing, mutex, lost };

constexpr Interface interfaces[] = {Interface::win32, Interface::c};

Plant plant = Plant::nothing;
std::mutex planted_lock;

calls::World world; // the other thread only reads it

// Who runs; the other waits on the word.
enum Turn : std::uint32_t { victims, others, nobodys };
std::atomic<std::uint32_t> turn{victims};

// Where the victim is.
std::atomic<std::uintptr_t> stopped_at{0};
std::atomic<std::uint64_t> waited{0}; // times that the signal was blocked
const calls::Call* call = nullptr;

// What the other thread does.
std::atomic<const char*> question{"nothing"};
std::atomic<std::uint64_t> rounds{0};
const char* only = nullptr; // part of the names of calls
std::uint64_t wanted_rounds = 150'000;

std::uint64_t late = 0; // calls that gave back pages which another get had missed meanwhile

// The books, of the call at hand.
struct Book {
    Kept written = 0;  // and not yet reported
    Kept promised = 0; // must be in the victim's own result
    Kept seen = 0;     // reported to the other thread
    Kept taken = 0;    // and reset, since they were promised
};
Book books[2];

struct sigaction library_handler = {};

[[noreturn]] void fail(const char* what, unsigned detail = 0)
{
    std::fprintf(stderr, "FAILED: %s (0x%x), the victim in %s, the other at: %s, round %lu\n", what,
                 detail, call != nullptr ? call->name : "no call", question.load(), rounds.load());
    std::fflush(nullptr);
    std::_Exit(1);
}

void give_turn(std::uint32_t next)
{
    turn = next;
    wake_all(turn);
}

void stop_here(const ucontext_t& where)
{
    const int saved = errno;
    stopped_at = stepping::address(where);
    give_turn(others);
    wait_while(turn, others);
    errno = saved;
}

void at_instruction(int, siginfo_t*, void* context)
{
    auto& where = *static_cast<ucontext_t*>(context);
    if (!stepping::blocks(where, SIGUSR1)) {
        stop_here(where);
        return;
    }
    // It will come when the library lets it; on to there without stops.
    ++waited;
    stepping::stop_in(where);
    raise(SIGUSR1);
}

void at_suspension(int, siginfo_t*, void* context)
{
    auto& where = *static_cast<ucontext_t*>(context);
    stepping::start_in(where);
    stop_here(where);
}

// The library's handler runs without the trap flag, as every handler; give it the flag.
void at_fault(int signal, siginfo_t* info, void* context)
{
    if (!stepping::is_stepping(*static_cast<const ucontext_t*>(context))) {
        library_handler.sa_sigaction(signal, info, context);
        return;
    }
    stepping::start();
    library_handler.sa_sigaction(signal, info, context);
    stepping::stop();
}

void step_through_faults()
{
    sigaction(SIGSEGV, nullptr, &library_handler);
    if ((library_handler.sa_flags & SA_SIGINFO) == 0)
        return; // no handler: pagemap-scan
    struct sigaction action = library_handler;
    action.sa_sigaction = at_fault;
    sigaction(SIGSEGV, &action, nullptr);
}

std::uint64_t random_number()
{
    static std::uint64_t state = 42;
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return state >> 33;
}

Kept ask(Interface interface, bool reset)
{
    Kept found = get(world, interface, reset);
    if (found == ~Kept{0})
        fail("get");
    if (plant == Plant::lost && rounds % 1000 == 999)
        found &= found - 1;
    return found;
}

// The victim is stopped: one after the other, each must be answered.
void one_round()
{
    const auto number = random_number();
    const Interface interface = interfaces[number % 2];
    Book& book = books[number % 2];

    question = "a store";
    const std::size_t page = 2 * (number / 2 % (calls::kept / 2)); // not the victim's own: 7
    calls::write(world, interface, page);
    book.written |= Kept{1} << page;

    // With mprotect a store comes to its end when nobody resets its page between the handler's
    // mprotect and the store's second try: that must not be at every instruction.
    const bool reset = number / 32 % (call->stores ? 64 : 2) == 1;
    question = reset ? "get with reset" : "get";
    const Kept found = ask(interface, reset);
    book.seen |= found;
    const bool victim_may_have_it = call->taken != nullptr && call->interface == interface;
    const Kept missing = book.written & ~found;
    if (missing != 0 && !victim_may_have_it)
        fail("pages that were written are not reported", missing);
    book.promised |= missing;
    book.taken &= ~missing;
    if (reset)
        book.taken |= found;
    book.written = reset ? 0 : found; // which has taken nothing

    const auto asked = calls::questions()[number / 4096 % calls::questions().size()];
    if (number / 65536 % asked.rare == 0) {
        question = asked.name;
        if (!asked.ask(world))
            fail("a wrong answer");
    }
    question = "nothing";
}

void other_thread()
{
    for (;;) {
        wait_while(turn, victims);
        if (turn == nobodys)
            return;
        if (plant == Plant::mutex) {
            question = "the planted lock";
            planted_lock.lock();
        }
        one_round();
        if (plant == Plant::mutex)
            planted_lock.unlock();
        ++rounds;
        give_turn(victims);
    }
}

bool make_planted(calls::World& made_in)
{
    if (plant != Plant::mutex)
        return call->make(made_in);
    const std::lock_guard lock(planted_lock);
    return call->make(made_in);
}

// One call, stopped at every instruction.
void step_through(const calls::Call& next)
{
    call = &next;
    next.prepare(world);
    for (const Interface interface : interfaces)
        books[static_cast<int>(interface)] = Book{ask(interface, false), 0, 0, 0};

    if (!stepping::through([] { return make_planted(world); }))
        fail("the call itself");

    for (const Interface interface : interfaces) {
        Book& book = books[static_cast<int>(interface)];
        const Kept own =
            next.taken != nullptr && next.interface == interface ? next.taken(world) : 0;
        // Also clean for the next call.
        const Kept rest = ask(interface, true);
        const Kept given_back = book.promised & ~own;
        if ((given_back & ~rest & ~book.taken) != 0)
            fail("pages that were written are reported to nobody", given_back & ~rest);
        late += given_back != 0;
        if ((book.written & ~own & ~rest) != 0)
            fail("pages that were written are not reported any more", book.written & ~own & ~rest);
        if (next.stores && next.interface == interface && (calls::stored & ~book.seen & ~rest) != 0)
            fail("the victim's own store is reported to nobody");
    }
    if (!next.finish(world))
        fail("what the call did cannot be undone");
}

void tell_deadlock(std::uint64_t last)
{
    Dl_info info = {};
    const auto at = stopped_at.load();
    dladdr(reinterpret_cast<void*>(at), &info); // NOLINT(performance-no-int-to-ptr)
    const auto offset = [&](const void* base) {
        return base == nullptr ? 0 : at - reinterpret_cast<std::uintptr_t>(base);
    };
    std::fprintf(
        stderr,
        "DEADLOCK in round %lu: the victim is %s in %s, last at %s+0x%lx (%s+0x%lx), "
        "the other at: %s\n",
        last, turn == others ? "stopped" : "running", call != nullptr ? call->name : "no call",
        info.dli_fname != nullptr ? info.dli_fname : "?", offset(info.dli_fbase),
        info.dli_sname != nullptr ? info.dli_sname : "?", offset(info.dli_saddr), question.load());
    std::fflush(nullptr);
}

int run(unsigned limit)
{
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    if (!calls::open(world))
        return stress::no_backend();
    // Nothing is to be met for the first time below, symbols included.
    for (const calls::Call& each : calls::all()) {
        each.prepare(world);
        if (!each.make(world) || !each.finish(world)) {
            call = &each;
            fail("the call, untouched");
        }
    }
    for (const Interface interface : interfaces)
        (void)ask(interface, true);
    stepping::install(SIGTRAP, at_instruction);
    stepping::install(SIGUSR1, at_suspension);
    step_through_faults();

    std::atomic<bool> done{false};
    std::thread watchdog([&] {
        stress::watch_for_deadlock(
            done, limit, [] { return rounds + waited; }, tell_deadlock);
    });
    std::thread other(other_thread);
    std::uint64_t turns = 0;
    std::uint64_t made = 0;
    const auto started = std::chrono::steady_clock::now();
    for (; rounds < wanted_rounds || turns == 0; ++turns) {
        for (const calls::Call& next : calls::all()) {
            if (only != nullptr ? std::strstr(next.name, only) == nullptr : turns % next.rare != 0)
                continue;
            const std::uint64_t before = rounds;
            step_through(next);
            ++made;
            if (turns == 0)
                std::printf("%6lu points: %s\n", rounds - before, next.name);
        }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
    give_turn(nobodys);
    other.join();
    done = true;
    watchdog.join();
    std::printf("%s: suspended %lu times in %lu calls, in %.0f s, %lu times after the signal had "
                "been blocked; no deadlock, no write lost, %lu reported late\n",
                ww_backend(world.tracker), rounds.load(), made, took.count(), waited.load(), late);
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    bool self_test = false;
    unsigned limit = 0;
    std::string calls_only;
    CLI::App app("Suspends a thread at every instruction of each call");
    app.add_flag("--self-test", self_test, "find each planted mistake");
    app.add_option("--rounds", wanted_rounds, "suspensions")->capture_default_str();
    app.add_option("--limit", limit, "seconds after which it is a deadlock (10)");
    app.add_option("--only", calls_only, "calls whose name contains this");
    stress::add_plant<Plant>(app, plant, {{"mutex", Plant::mutex}, {"lost", Plant::lost}});
    if (const auto status = stress::parse(app, argc, argv))
        return *status;
    if (self_test)
        return stress::find_planted({{"mutex", 2}, {"lost", 1}});
    only = calls_only.empty() ? nullptr : calls_only.c_str();
    return run(limit != 0 ? limit : plant == Plant::mutex ? 1 : 10);
}
