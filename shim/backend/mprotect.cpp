// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/backend/mprotect.h"

#include "shim/sys/fork.h"
#include "shim/sys/memory.h"
#include "shim/sys/signals.h"
#include "shim/sys/slice_directory.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <new>
#include <optional>
#include <sys/mman.h>
#include <ucontext.h>

namespace writewatch::backend {

namespace {

// A page's state, one byte: the protection that the program asked for (PROT_*, 3 bits), whether the
// page was written, whether it is tracked, and how many threads are making it writable right now.
// Pages that are not: 0, also for inaccessible and clean ones, which need no care and in a large
// reservation no memory; or `ended`.
//
// A page may be writable only while its state says written, or a write could go unnoticed. So a
// thread enters itself as an opener before it lets the page be written, and a page with openers
// cannot be made clean: it is reported once more instead.
using State = std::uint8_t;
constexpr State protection_bits = PROT_READ | PROT_WRITE | PROT_EXEC;
constexpr State written_bit = 1 << 3;
constexpr State tracked_bit = 1 << 4;
constexpr State one_opener = 1 << 5;
constexpr State opener_bits = 0xe0;
constexpr State ended = written_bit; // not tracked any more, and plainly accessible

constexpr State without_openers(State state)
{
    return state & static_cast<State>(~opener_bits);
}

constexpr int effective_protection(State state)
{
    const int protection = state & protection_bits;
    return (state & written_bit) != 0 ? protection : protection & ~PROT_WRITE;
}

constexpr bool is_written(State state)
{
    return (state & tracked_bit) != 0 && (state & written_bit) != 0;
}

// Process-wide, since there is one SIGSEGV handler.
constinit sys::SliceDirectory states{sys::SliceDirectory::slice_bytes / page_size};

// The instance that tracks a page, one byte: a reset by another would hide writes from it. Numbers
// come again after 255 instances; two trackers on one range then go unnoticed.
using Owner = std::uint8_t;
constinit sys::SliceDirectory owners{sys::SliceDirectory::slice_bytes / page_size};
constinit std::atomic<Owner> last_owner{0};

constinit std::atomic<int> open_state{0}; // 0 closed, 1 opening, 2 open
constinit struct sigaction earlier_handler = {};

std::atomic<State>* state_of(std::uintptr_t address) noexcept
{
    auto* const block = static_cast<std::atomic<State>*>(states.block(address));
    if (block == nullptr)
        return nullptr;
    return block + (address % sys::SliceDirectory::slice_bytes) / page_size;
}

std::atomic<Owner>* owner_of(std::uintptr_t address) noexcept
{
    auto* const block = static_cast<std::atomic<Owner>*>(owners.block(address));
    if (block == nullptr)
        return nullptr;
    return block + (address % sys::SliceDirectory::slice_bytes) / page_size;
}

void disown(PageRange range, Owner owner) noexcept
{
    for (std::uintptr_t page = range.start; page < range.end; page += page_size) {
        if (std::atomic<Owner>* const word = owner_of(page); word != nullptr) {
            Owner expected = owner;
            word->compare_exchange_strong(expected, 0, std::memory_order_acq_rel);
        }
    }
}

// All of the range, or nothing.
Result<void> own(PageRange range, Owner owner) noexcept
{
    if (auto ok = owners.reserve(range); !ok)
        return ok;
    // What was ours before stays ours when a later page is somebody else's.
    std::uintptr_t first_new = range.end;
    for (std::uintptr_t page = range.start; page < range.end; page += page_size) {
        Owner before = 0;
        if (owner_of(page)->compare_exchange_strong(before, owner, std::memory_order_acq_rel)) {
            first_new = std::min(first_new, page);
        } else if (before != owner) {
            disown({first_new, page}, owner);
            return fail(EBUSY, "another tracker has it", {page, page + page_size});
        }
    }
    return {};
}

// Without the openers.
State load(std::uintptr_t address) noexcept
{
    const std::atomic<State>* const state = state_of(address);
    return state == nullptr ? State{0} : without_openers(state->load(std::memory_order_acquire));
}

// The end of the run of pages from range.start that are in the state.
std::uintptr_t run_end(PageRange range, State state) noexcept
{
    std::uintptr_t end = range.start;
    while (end < range.end && load(end) == state)
        end += page_size;
    return end;
}

// Replaces each page's state by change(state); openers are kept.
template<typename Change> void change_states(PageRange range, Change change) noexcept
{
    for (std::uintptr_t page = range.start; page < range.end; page += page_size) {
        if (state_of(page) == nullptr)
            continue; // never tracked
        std::atomic<State>& state = *state_of(page);
        State before = state.load(std::memory_order_acquire);
        while (change(before) != before &&
               !state.compare_exchange_weak(before, change(before), std::memory_order_acq_rel)) {
        }
    }
}

// A page's state and its protection are changed one after the other, by a function that blocks
// signals meanwhile ("whole"): a thread that is ended in between would leave a page that is clean
// and can be written without notice, and seven that are suspended while they open a page would make
// the eighth wait.
//
// The changes below leave pages alone that are not tracked (any more).
State mark_written(State before)
{
    return (before & tracked_bit) != 0 ? before | written_bit : before;
}

State mark_clean(State before)
{
    if ((before & tracked_bit) == 0 || (before & opener_bits) != 0)
        return before;
    return before & static_cast<State>(~written_bit);
}

State mark_untracked(State before)
{
    return before & opener_bits;
}

// Whether the page is written; with `reset`, also makes it clean. Of several threads that do so
// one gets it.
bool take(std::uintptr_t page, bool reset) noexcept
{
    if (!reset)
        return is_written(load(page));
    std::atomic<State>* const word = state_of(page);
    State before = word == nullptr ? State{0} : word->load(std::memory_order_acquire);
    while (is_written(before)) {
        const State after = mark_clean(before);
        if (after == before ||
            word->compare_exchange_weak(before, after, std::memory_order_acq_rel))
            return true;
    }
    return false;
}

// Enters this thread as an opener of the pages from range.start that are in the state; returns the
// end of those.
std::uintptr_t enter_openers(PageRange range, State state) noexcept
{
    std::uintptr_t page = range.start;
    for (unsigned attempt = 0; page < range.end;) {
        std::atomic<State>& word = *state_of(page);
        State before = word.load(std::memory_order_acquire);
        if (without_openers(before) != state)
            break;
        if ((before & opener_bits) == opener_bits) {
            sys::back_off(attempt++); // seven threads are at it
            continue;
        }
        if (word.compare_exchange_weak(before, before + one_opener, std::memory_order_acq_rel))
            page += page_size;
    }
    return page;
}

void leave_openers(PageRange range) noexcept
{
    for (std::uintptr_t page = range.start; page < range.end; page += page_size)
        state_of(page)->fetch_sub(one_opener, std::memory_order_acq_rel);
}

// Shortens the run when a page of it has changed its state meanwhile.
Result<void> apply_run(PageRange& run, State state) noexcept
{
    const int protection = effective_protection(state);
    if ((protection & PROT_WRITE) == 0)
        return sys::protect(run, protection);
    run.end = enter_openers(run, state);
    if (run.empty())
        return {};
    auto ok = sys::protect(run, protection);
    leave_openers(run);
    return ok;
}

// Gives the tracked pages of the range the protection that their states call for. Whoever changes a
// state does this after the change, so that the last to come sees the last state; what changes
// meanwhile is done again.
Result<void> apply(PageRange range) noexcept
{
    while (!range.empty()) {
        const State state = load(range.start);
        PageRange run{range.start, run_end(range, state)};
        if (run.empty())
            continue;
        if ((state & tracked_bit) == 0) {
            range.start = run.end;
            continue;
        }
        if (auto ok = apply_run(run, state); !ok)
            return ok;
        range.start = run_end(run, state);
        // Another thread ended the tracking meanwhile and made the page plainly accessible, before
        // we took that back.
        while (range.start < run.end && load(range.start) == ended) {
            (void)sys::protect({range.start, range.start + page_size}, state & protection_bits);
            range.start += page_size;
        }
    }
    return {};
}

// Gives pages that were marked clean the protection for it.
void protect_clean(PageRange range) noexcept
{
    if (apply(range))
        return;
    // No mapping to spare: what cannot be protected stays written, and is reported once more.
    change_states(range, [](State before) {
        return (before & PROT_WRITE) != 0 ? mark_written(before) : before;
    });
    (void)apply(range);
}

// Marks the pages as written and lets them be written. Without mappings to spare, a wider stretch
// with equal protection joins its neighbours and needs fewer; at last all of it, which needs none.
bool note_write(std::uintptr_t page, State state) noexcept
{
    const sys::SignalBlock whole;
    constexpr std::uintptr_t widest = 2048 * page_size;
    const auto is_like = [like = state | written_bit](std::uintptr_t other) {
        return (load(other) | written_bit) == like;
    };
    for (std::uintptr_t width = page_size; width <= 2 * widest; width *= 2) {
        PageRange widened{page & ~(width - 1), (page & ~(width - 1)) + width};
        if (width > widest)
            widened = {page_size, address_space_end};
        // Outward from the page: what lies beyond one with another protection may not be ours.
        PageRange range{page, page + page_size};
        while (range.start > widened.start && is_like(range.start - page_size))
            range.start -= page_size;
        while (range.end < widened.end && is_like(range.end))
            range.end += page_size;
        change_states(range, mark_written);
        if (apply(range))
            return true;
    }
    return false;
}

void on_fault(int signal, siginfo_t* info, void* context)
{
    const int saved = errno;
    constexpr unsigned long write_fault = 1UL << 1; // x86 page-fault error code, W/R
    const auto* const user = static_cast<const ucontext_t*>(context);
    const auto code = static_cast<unsigned long>(user->uc_mcontext.gregs[REG_ERR]);
    const auto page = page_floor(reinterpret_cast<std::uintptr_t>(info->si_addr));
    const State state = load(page);

    const bool write = info->si_code == SEGV_ACCERR && (code & write_fault) != 0;
    bool retry = write && (state & PROT_WRITE) != 0 && note_write(page, state);
    // Another thread may have ended the tracking since the fault, or be about to take back a
    // protection that it gave too late (apply): the page is writable then, or will be.
    constexpr unsigned patience = 300; // some milliseconds, for a program that crashes anyway
    for (unsigned attempt = 0; write && !retry && attempt < patience; ++attempt) {
        if (load(page) != ended)
            break;
        retry = sys::advise({page, page + page_size}, MADV_POPULATE_WRITE).has_value();
        if (!retry)
            sys::back_off(attempt);
    }
    errno = saved;
    if (!retry)
        sys::chain_signal(earlier_handler, signal, info, context);
}

Result<void> open_once() noexcept
{
    for (int expected = 0; !open_state.compare_exchange_strong(expected, 1); expected = 0) {
        if (expected == 2)
            return {};
        sys::back_off(100);
    }
    auto ok = states.open();
    if (ok)
        ok = owners.open();
    if (ok) {
        const auto earlier = sys::install_handler(SIGSEGV, on_fault);
        if (earlier) {
            earlier_handler = *earlier;
            open_state = 2;
            return {};
        }
        ok = tl::unexpected(earlier.error());
    }
    owners.close();
    states.close();
    open_state = 0;
    return ok;
}

} // namespace

Result<std::unique_ptr<Mprotect>> Mprotect::open() noexcept
{
    if (auto ok = open_once(); !ok)
        return tl::unexpected(ok.error());
    Owner owner = 0;
    while (owner == 0)
        owner = ++last_owner;
    auto* const backend = new (std::nothrow) Mprotect(owner);
    if (backend == nullptr)
        return fail(ENOMEM, "allocate the backend");
    return std::unique_ptr<Mprotect>(backend);
}

Result<void> Mprotect::track(const TrackRequest& request) noexcept
{
    const sys::SignalBlock whole;
    if (auto ok = states.reserve(request.range); !ok)
        return ok;
    State state = static_cast<State>(request.protection) & protection_bits;
    if (request.contents == Contents::written)
        state |= written_bit;
    if (state == 0) {
        change_states(request.range, mark_untracked);
        return {};
    }
    if (auto ok = own(request.range, owner_); !ok)
        return ok;
    state |= tracked_bit;
    change_states(request.range, [state](State before) {
        return static_cast<State>((before & opener_bits) | state);
    });
    auto ok = apply(request.range);
    if (ok)
        return ok;
    // Only what was not tracked before may be left so; the rest is reported.
    if (request.contents == Contents::clean)
        (void)untrack(request.range, request.mode);
    else
        change_states(request.range, mark_written);
    return ok;
}

Result<void> Mprotect::untrack(PageRange range, Mode) noexcept
{
    const sys::SignalBlock whole;
    change_states(range, mark_written);
    if (!apply(range)) {
        // Part of it may not be mapped any more: page by page.
        for (PageRange page{range.start, range.start + page_size}; page.start < range.end;
             page = {page.end, page.end + page_size}) {
            if (auto ok = apply(page); !ok && sys::is_mapped(page))
                return ok; // still tracked: a write will try again
        }
    }
    change_states(range,
                  [](State before) { return static_cast<State>((before & opener_bits) | ended); });
    disown(range, owner_);
    return {};
}

void Mprotect::forget(PageRange range) noexcept
{
    for (std::uintptr_t page = range.start; page < range.end; page += page_size) {
        const std::atomic<Owner>* const word = owner_of(page);
        const Owner owner = word == nullptr ? Owner{0} : word->load(std::memory_order_acquire);
        if (owner == 0 || owner == owner_)
            change_states({page, page + page_size}, mark_untracked);
    }
    disown(range, owner_);
}

Result<std::uintptr_t> Mprotect::skip_clean(PageRange range, Mode) noexcept
{
    return range.start;
}

Result<ScanResult> Mprotect::scan(const ScanRequest& request, std::span<Run> out) noexcept
{
    std::optional<sys::SignalBlock> whole;
    if (request.reset)
        whole.emplace();
    const PageRange range = request.range;
    std::size_t left = request.max_pages == 0 ? range.pages() : request.max_pages;
    std::size_t found = 0;
    std::uintptr_t page = range.start;
    while (page < range.end && left > 0 && found < out.size()) {
        if (!take(page, request.reset)) {
            page += page_size;
            continue;
        }
        PageRange run{page, page + page_size};
        --left;
        for (; run.end < range.end && left > 0 && take(run.end, request.reset); --left)
            run.end += page_size;
        // A write before the protection changes needs no note: its page is in this result.
        if (request.reset)
            protect_clean(run);
        out[found++] = {run.start, run.end, 0};
        page = run.end;
    }
    return ScanResult{found, page};
}

Result<void> Mprotect::reset(PageRange range, Mode) noexcept
{
    const sys::SignalBlock whole;
    change_states(range, mark_clean);
    protect_clean(range);
    return {};
}

Result<void> Mprotect::protect(PageRange range, int protection) noexcept
{
    const sys::SignalBlock whole;
    const auto wanted = static_cast<State>(protection & protection_bits);
    change_states(range, [wanted](State before) {
        const State kept = is_written(before) ? written_bit | opener_bits : opener_bits;
        return static_cast<State>((before & kept) | wanted | tracked_bit);
    });
    return apply(range);
}

} // namespace writewatch::backend
