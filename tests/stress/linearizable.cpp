// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Several threads get, get with reset, and reset overlapping ranges of one region while others
// write. What they were answered must have an order in which it makes sense.
//
// The property, for each page by itself (no call promises more about two pages): the page is one
// bit, and there is an order of the calls about it in which
//
//   a store                           sets the bit
//   a get                             reports the page exactly when the bit is set
//   a get with reset                  reports it exactly when the bit is set, and clears it
//   a reset                           clears the bit
//
// and in which a call that ended before another began comes before it (linearizability, Herlihy and
// Wing). So a store is reported to exactly one get with reset, unless a reset comes between; to one
// that ended before the store began never; and no get that begins after it misses it while nobody
// has taken it. A get whose array was filled says nothing about pages behind its last one, and must
// leave them alone.
//
// These allowances, no others:
//
//   - A store may set the bit several times before it ends: its fault sets it, a reset may come
//     before the instruction is tried again, and then it faults again. (Windows handles the fault
//     of a watched page in the same way.) Both resets overlap the store or come after it.
//   - With the mprotect backend a reset, or a get with reset that reports the page, may clear the
//     bit several times before it ends: between its look at the page and its mprotect the page can
//     be written without a fault. That store is in its answer, which is given later. And it may
//     leave the bit set while a store, a reset or another get with reset about the page is under
//     way, which may be about to let the page be written: then it is reported once more.
//
// How it is checked: epochs. In each, all threads call for a while and keep what they asked and
// were told, with numbers from one counter before and after each call. Then all stop, and for each
// page the events are gone through in order with the set of all states (which of the calls under
// way have taken effect, and the bit) that are possible so far; none left is a violation.
//
// Usage: stress-linearizable [--seconds N] [--plant lost|twice|wide|late]
//        stress-linearizable --self-test
//
// Exit status 0: so it was; 1: not; 77: no backend. WRITEWATCH_BACKEND chooses it. The planted
// mistakes: a page is dropped from an answer; a get with reset does not reset; a reset takes a page
// more than it was asked to; a page is reported by the call after the one that took it.
#include "tests/stress/options.h"
#include "tests/stress/require.h"
#include "tests/stress/self_test.h"

#include <writewatch/win32.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t pages = 64;
constexpr std::size_t askers = 4;
constexpr std::size_t writers = 3;
constexpr std::size_t threads = askers + writers;
constexpr std::size_t calls_per_epoch = 1000;  // of an asker
constexpr std::size_t stores_per_epoch = 2000; // of a writer

enum class Plant : std::uint8_t { nothing, lost, twice, wide, late };
Plant plant = Plant::nothing;

enum class Kind : std::uint8_t { store, get, get_with_reset, reset };
constexpr const char* kind_names[] = {"store", "get", "get with reset", "reset"};

using Pages = std::bitset<pages>;

struct Call {
    std::uint64_t began = 0;
    std::uint64_t ended = 0;
    Kind kind = Kind::store;
    std::size_t first = 0; // the pages that it is about
    std::size_t end = 0;
    Pages reported;
};

char* region = nullptr;
bool by_faults = false; // the mprotect backend
std::atomic<std::uint64_t> counter{0};
std::array<std::vector<Call>, threads> histories;
std::atomic<bool> stop{false};

class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed * 2 + 1) {}
    std::size_t below(std::size_t limit)
    {
        state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
        return (state_ >> 33) % limit;
    }

  private:
    std::uint64_t state_;
};

[[noreturn]] void fail(const char* what)
{
    std::fprintf(stderr, "FAILED: %s (error %u)\n", what, GetLastError());
    std::fflush(nullptr);
    std::_Exit(1);
}

// Lets callers go two by two, so that calls meet on a machine with few processors, too. A caller
// waits for another one, but not for long: there may be none that runs.
void meet()
{
    static std::atomic<unsigned> arrivals{0};
    const unsigned self = arrivals++;
    const bool is_first = self % 2 == 0;
    for (int spins = 0; is_first && spins < 500 && arrivals == self + 1; ++spins)
        __builtin_ia32_pause();
}

// What a planted mistake holds back; of one thread.
thread_local std::size_t held_back = pages;

Call ask(Kind kind, std::size_t first, std::size_t end, std::size_t capacity, bool planted)
{
    Call call{0, 0, kind, first, end, {}};
    void* found[pages];
    ULONG_PTR count = capacity;
    ULONG granularity = 0;
    const bool with_reset = kind == Kind::get_with_reset && !(planted && plant == Plant::twice);
    call.began = counter++;
    const UINT failed =
        GetWriteWatch(with_reset ? WRITE_WATCH_FLAG_RESET : 0, region + first * page,
                      (end - first) * page, found, &count, &granularity);
    call.ended = counter++;
    if (failed != 0 || count > capacity)
        fail("GetWriteWatch");
    for (ULONG_PTR i = 0; i < count; ++i) {
        const auto number = static_cast<std::size_t>(static_cast<char*>(found[i]) - region) / page;
        if (number < first || number >= end || (i > 0 && found[i] <= found[i - 1]))
            fail("a page outside the range, or out of order");
        call.reported.set(number);
    }
    if (count == capacity)
        call.end =
            static_cast<std::size_t>(static_cast<char*>(found[count - 1]) - region) / page + 1;
    if (held_back >= call.first && held_back < call.end) {
        call.reported.set(held_back);
        held_back = pages;
    }
    if (planted && kind == Kind::get_with_reset && count > 1 &&
        (plant == Plant::lost || plant == Plant::late)) {
        const std::size_t dropped = call.reported._Find_first();
        call.reported.reset(dropped);
        if (plant == Plant::late)
            held_back = dropped;
    }
    return call;
}

Call reset(std::size_t first, std::size_t end, bool planted)
{
    Call call{0, 0, Kind::reset, first, end, {}};
    const std::size_t wide = planted && plant == Plant::wide && end < pages ? 1 : 0;
    call.began = counter++;
    const UINT failed = ResetWriteWatch(region + first * page, (end - first + wide) * page);
    call.ended = counter++;
    if (failed != 0)
        fail("ResetWriteWatch");
    return call;
}

void ask_for_an_epoch(std::size_t self, Random& random)
{
    for (std::size_t i = 0; i < calls_per_epoch; ++i) {
        const std::size_t first = random.below(pages);
        const std::size_t end = first + 1 + random.below(pages - first);
        const std::size_t kind = random.below(10);
        const std::size_t capacity = random.below(2) == 0 ? pages : 1 + random.below(8);
        const bool planted = i % 16 == 15;
        meet();
        if (kind == 0)
            histories[self].push_back(reset(first, end, planted));
        else
            histories[self].push_back(
                ask(kind < 3 ? Kind::get : Kind::get_with_reset, first, end, capacity, planted));
        if (random.below(8) == 0)
            std::this_thread::yield();
    }
}

void write_for_an_epoch(std::size_t self, Random& random)
{
    for (std::size_t i = 0; i < stores_per_epoch; ++i) {
        Call call;
        call.first = random.below(pages);
        call.end = call.first + 1;
        auto* const at = reinterpret_cast<std::uint64_t*>(region + call.first * page) + self;
        if (random.below(8) == 0)
            meet();
        call.began = counter++;
        std::atomic_ref<std::uint64_t>(*at).store(call.began, std::memory_order_seq_cst);
        call.ended = counter++;
        histories[self].push_back(call);
        if (random.below(8) == 0)
            std::this_thread::yield();
    }
}

// One page's part of an epoch.
struct Event {
    std::uint64_t when;
    const Call* call;
    std::size_t thread;
    bool is_end;
};

class PageChecker {
  public:
    explicit PageChecker(std::size_t number) : number_(number) { possible_.push_back(0); }

    // False: no order of the calls so far makes sense.
    bool take(const Event& event)
    {
        const std::uint32_t self = 1U << event.thread;
        if (!event.is_end) {
            under_way_[event.thread] = event.call;
            return true;
        }
        add_successors();
        std::vector<State> left;
        for (const State state : possible_) {
            if ((state & self) != 0)
                left.push_back(state & ~self);
        }
        std::sort(left.begin(), left.end());
        left.erase(std::unique(left.begin(), left.end()), left.end());
        possible_ = std::move(left);
        under_way_[event.thread] = nullptr;
        return !possible_.empty();
    }

  private:
    // A bit for each thread whose call has taken effect, and the page's.
    using State = std::uint32_t;
    static constexpr State set = 1U << threads;

    void add(State state)
    {
        if (!known_[state]) {
            known_.set(state);
            possible_.push_back(state);
        }
    }

    // Everything that calls under way can have made of the states.
    void add_successors()
    {
        known_.reset();
        for (const State state : possible_)
            known_.set(state);
        for (std::size_t i = 0; i < possible_.size(); ++i) {
            for (std::size_t thread = 0; thread < threads; ++thread) {
                if (under_way_[thread] != nullptr)
                    add_effects(possible_[i], 1U << thread, *under_way_[thread]);
            }
        }
    }

    void add_effects(State state, State self, const Call& call)
    {
        const bool done = (state & self) != 0;
        const bool is_set = (state & set) != 0;
        const bool reported = call.reported[number_];
        switch (call.kind) {
        case Kind::store:
            add(state | set | (done ? 0 : self));
            add(state | set); // its fault: it will be tried again
            break;
        case Kind::get:
            if (!done && is_set == reported)
                add(state | self);
            break;
        case Kind::get_with_reset:
            if (!done && is_set == reported)
                add((state | self) & ~set);
            if (reported)
                add_effects_with_faults(state, self, done);
            break;
        case Kind::reset:
            if (!done)
                add((state | self) & ~set);
            add_effects_with_faults(state, self, done);
            break;
        }
    }

    // Of a reset or a get with reset, when the backend is mprotect.
    void add_effects_with_faults(State state, State self, bool done)
    {
        if (!by_faults)
            return;
        if (done) {
            add(state & ~set);
            return;
        }
        if ((state & set) == 0)
            return;
        for (std::size_t thread = 0; thread < threads; ++thread) {
            const Call* const other = under_way_[thread];
            if (other != nullptr && other->kind != Kind::get && (1U << thread) != self)
                add(state | self);
        }
    }

    std::size_t number_;
    std::vector<State> possible_;
    std::bitset<std::size_t{2} << threads> known_;
    std::array<const Call*, threads> under_way_{};
};

void print_violation(std::size_t number, const std::vector<Event>& events, std::size_t at)
{
    std::fprintf(stderr, "FAILED: page %zu: no order of these calls makes sense\n", number);
    for (std::size_t i = at > 40 ? at - 40 : 0; i <= at; ++i) {
        const Event& event = events[i];
        if (!event.is_end)
            continue;
        const bool asked =
            event.call->kind == Kind::get || event.call->kind == Kind::get_with_reset;
        std::fprintf(stderr, "  %8lu to %8lu thread %zu: %s%s\n", event.call->began,
                     event.call->ended, event.thread,
                     kind_names[static_cast<int>(event.call->kind)],
                     !asked                         ? ""
                     : event.call->reported[number] ? ": reported"
                                                    : ": not reported");
    }
}

bool check_page(std::size_t number)
{
    std::vector<Event> events;
    for (std::size_t thread = 0; thread < threads; ++thread) {
        for (const Call& call : histories[thread]) {
            if (number < call.first || number >= call.end)
                continue;
            events.push_back({call.began, &call, thread, false});
            events.push_back({call.ended, &call, thread, true});
        }
    }
    std::sort(events.begin(), events.end(),
              [](const Event& a, const Event& b) { return a.when < b.when; });
    PageChecker checker(number);
    for (std::size_t i = 0; i < events.size(); ++i) {
        if (!checker.take(events[i])) {
            print_violation(number, events, i);
            return false;
        }
    }
    return true;
}

struct Totals {
    std::uint64_t epochs = 0;
    std::uint64_t calls = 0;
    std::uint64_t stores = 0;
    std::uint64_t reports = 0;
    std::uint64_t overlapping = 0; // calls that began before the one before them had ended
};

void add(Totals& totals)
{
    ++totals.epochs;
    std::vector<const Call*> asked;
    for (const auto& history : histories) {
        for (const Call& call : history) {
            if (call.kind == Kind::store) {
                ++totals.stores;
                continue;
            }
            asked.push_back(&call);
            totals.reports += call.reported.count();
        }
    }
    totals.calls += asked.size();
    std::sort(asked.begin(), asked.end(),
              [](const Call* a, const Call* b) { return a->began < b->began; });
    for (std::size_t i = 1; i < asked.size(); ++i)
        totals.overlapping += asked[i]->began < asked[i - 1]->ended;
}

// Between two epochs, alone.
bool check_epoch(Totals& totals)
{
    // What is left of the stores must be there, too; and nothing else.
    histories[0].push_back(ask(Kind::get, 0, pages, pages, false));
    for (std::size_t number = 0; number < pages; ++number) {
        if (!check_page(number))
            return false;
    }
    add(totals);
    for (auto& history : histories)
        history.clear();
    if (ResetWriteWatch(region, pages * page) != 0)
        fail("ResetWriteWatch");
    return true;
}

int run(long seconds)
{
    region = static_cast<char*>(VirtualAlloc(
        nullptr, pages * page, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE));
    if (region == nullptr)
        return stress::no_backend();
    const char* const backend = std::getenv("WRITEWATCH_BACKEND");
    by_faults = backend != nullptr && std::strcmp(backend, "mprotect") == 0;
    for (auto& history : histories)
        history.reserve(std::size_t{1} << 16);

    std::barrier phase(threads + 1);
    std::vector<std::thread> all;
    for (std::size_t self = 0; self < threads; ++self) {
        all.emplace_back([self, &phase] {
            Random random(self);
            for (;;) {
                phase.arrive_and_wait();
                if (stop)
                    return;
                if (self < askers)
                    ask_for_an_epoch(self, random);
                else
                    write_for_an_epoch(self, random);
                phase.arrive_and_wait();
            }
        });
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    Totals totals;
    bool good = true;
    while (good && std::chrono::steady_clock::now() < until) {
        phase.arrive_and_wait();
        phase.arrive_and_wait();
        good = check_epoch(totals);
    }
    stop = true;
    phase.arrive_and_wait();
    for (std::thread& thread : all)
        thread.join();
    std::printf(
        "%lu epochs: %lu stores, %lu calls of %zu threads (%lu began while another was under "
        "way) with %lu reports\n",
        totals.epochs, totals.stores, totals.calls, askers, totals.overlapping, totals.reports);
    if (good && (totals.overlapping == 0 || totals.reports == 0))
        fail("nothing met anything");
    return good ? 0 : 1;
}

} // namespace

int main(int argc, char** argv)
{
    bool self_test = false;
    long seconds = 10;
    CLI::App app("Several threads get and reset; each write is reported to one of them");
    app.add_flag("--self-test", self_test, "find each planted mistake");
    app.add_option("--seconds", seconds, "how long")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    stress::add_plant<Plant>(app, plant,
                             {{"lost", Plant::lost},
                              {"twice", Plant::twice},
                              {"wide", Plant::wide},
                              {"late", Plant::late}});
    if (const auto status = stress::parse(app, argc, argv))
        return *status;
    if (self_test)
        return stress::find_planted({{"lost", 1}, {"twice", 1}, {"wide", 1}, {"late", 1}});
    // A planted mistake ends the run when it is found: soon, but on a slow machine.
    return run(plant == Plant::nothing ? seconds : std::max(seconds, 60L));
}
