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
#include <sys/mman.h>
#include <ucontext.h>

namespace writewatch::backend {

namespace {

// A page's state, one byte: the protection that the program asked for (PROT_*, 3 bits), whether the
// page was written, and how many threads are making it writable right now. 0: not ours, or
// inaccessible and clean, which needs no care.
//
// A page may be writable only while its state says written, or a write could go unnoticed. So a
// thread enters itself as an opener before it lets the page be written, and a page with openers
// cannot be made clean: it is reported once more instead.
using State = std::uint8_t;
constexpr State protection_bits = PROT_READ | PROT_WRITE | PROT_EXEC;
constexpr State written_bit = 1 << 3;
constexpr State one_opener = 1 << 4;
constexpr State opener_bits = 0xf0;

constexpr State without_openers(State state)
{
    return state & static_cast<State>(~opener_bits);
}

constexpr int effective_protection(State state)
{
    const int protection = state & protection_bits;
    return (state & written_bit) != 0 ? protection : protection & ~PROT_WRITE;
}

// Process-wide, since there is one SIGSEGV handler.
constinit sys::SliceDirectory states{sys::SliceDirectory::slice_bytes / page_size};
constinit std::atomic<int> open_state{0}; // 0 closed, 1 opening, 2 open
constinit struct sigaction earlier_handler = {};

std::atomic<State>* state_of(std::uintptr_t address) noexcept
{
    auto* const block = static_cast<std::atomic<State>*>(states.block(address));
    if (block == nullptr)
        return nullptr;
    return block + (address % sys::SliceDirectory::slice_bytes) / page_size;
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

State mark_written(State before)
{
    return before | written_bit;
}

State mark_clean(State before)
{
    return (before & opener_bits) == 0 ? before & static_cast<State>(~written_bit) : before;
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
            sys::back_off(attempt++); // fifteen threads are at it
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

Result<void> apply_run(PageRange run, State state) noexcept
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

// Gives the pages of the range the protection that their states call for. Whoever changes a state
// does this after the change, so that the last to come sees the last state; what changes meanwhile
// is done again.
Result<void> apply(PageRange range) noexcept
{
    while (!range.empty()) {
        const State state = load(range.start);
        const PageRange run{range.start, run_end(range, state)};
        if (run.empty())
            continue;
        if (auto ok = apply_run(run, state); !ok)
            return ok;
        range.start = run_end(run, state);
    }
    return {};
}

// Marks the pages as written and lets them be written. Without mappings to spare, a wider stretch
// with equal protection joins its neighbours and needs fewer.
bool note_write(std::uintptr_t page, State state) noexcept
{
    constexpr std::uintptr_t widest = 2048 * page_size;
    const State protection = state & protection_bits;
    for (std::uintptr_t width = page_size; width <= widest; width *= 2) {
        PageRange range{page & ~(width - 1), (page & ~(width - 1)) + width};
        while (range.start < page && (load(range.start) & protection_bits) != protection)
            range.start += page_size;
        std::uintptr_t end = page + page_size;
        while (end < range.end && (load(end) & protection_bits) == protection)
            end += page_size;
        range.end = end;
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

    const bool ours = info->si_code == SEGV_ACCERR && (code & write_fault) != 0 &&
                      (state & PROT_WRITE) != 0 && note_write(page, state);
    errno = saved;
    if (!ours)
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
    if (ok) {
        const auto earlier = sys::install_handler(SIGSEGV, on_fault);
        if (earlier) {
            earlier_handler = *earlier;
            open_state = 2;
            return {};
        }
        ok = tl::unexpected(earlier.error());
        states.close();
    }
    open_state = 0;
    return ok;
}

} // namespace

Result<std::unique_ptr<Mprotect>> Mprotect::open() noexcept
{
    if (auto ok = open_once(); !ok)
        return tl::unexpected(ok.error());
    auto* const backend = new (std::nothrow) Mprotect();
    if (backend == nullptr)
        return fail(ENOMEM, "allocate the backend");
    return std::unique_ptr<Mprotect>(backend);
}

Result<void> Mprotect::track(const TrackRequest& request) noexcept
{
    if (auto ok = states.reserve(request.range); !ok)
        return ok;
    State state = static_cast<State>(request.protection) & protection_bits;
    if (request.contents == Contents::written)
        state |= written_bit;
    if (state == 0) {
        forget(request.range);
        return {};
    }
    change_states(request.range, [state](State before) {
        return static_cast<State>((before & opener_bits) | state);
    });
    return apply(request.range);
}

Result<void> Mprotect::untrack(PageRange range, Mode) noexcept
{
    change_states(range, mark_written);
    auto ok = apply(range);
    if (ok)
        forget(range);
    return ok;
}

void Mprotect::forget(PageRange range) noexcept
{
    change_states(range, [](State before) { return static_cast<State>(before & opener_bits); });
}

Result<std::uintptr_t> Mprotect::skip_clean(PageRange range, Mode) noexcept
{
    return range.start;
}

Result<ScanResult> Mprotect::scan(const ScanRequest& request, std::span<Run> out) noexcept
{
    const PageRange range = request.range;
    std::size_t left = request.max_pages == 0 ? range.pages() : request.max_pages;
    std::size_t found = 0;
    std::uintptr_t page = range.start;
    while (page < range.end && left > 0 && found < out.size()) {
        if ((load(page) & written_bit) == 0) {
            page += page_size;
            continue;
        }
        PageRange run{page, page};
        for (; run.end < range.end && left > 0 && (load(run.end) & written_bit) != 0; --left)
            run.end += page_size;
        if (request.reset) {
            // A write before the protection changes needs no note: its page is in this result.
            if (auto ok = reset(run, request.mode); !ok)
                return tl::unexpected(ok.error());
        }
        out[found++] = {run.start, run.end, 0};
        page = run.end;
    }
    return ScanResult{found, page};
}

Result<void> Mprotect::reset(PageRange range, Mode) noexcept
{
    change_states(range, mark_clean);
    if (apply(range))
        return {};
    // No mapping to spare: what cannot be protected stays written, and is reported once more.
    change_states(range, [](State before) {
        return (before & PROT_WRITE) != 0 ? mark_written(before) : before;
    });
    (void)apply(range);
    return {};
}

Result<void> Mprotect::protect(PageRange range, int protection) noexcept
{
    const auto wanted = static_cast<State>(protection & protection_bits);
    change_states(range, [wanted](State before) {
        return static_cast<State>((before & (written_bit | opener_bits)) | wanted);
    });
    return apply(range);
}

} // namespace writewatch::backend
