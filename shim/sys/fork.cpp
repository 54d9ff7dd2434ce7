// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/fork.h"

#include "shim/sys/memory.h"
#include "shim/sys/signals.h"

#include <cerrno>
#include <ctime>
#include <new>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace writewatch::sys {

// All open fork pages, locked together around fork().
class ForkPages {
  public:
    static Result<void> add(ForkPage& page, ForkPage::Order order) noexcept
    {
        const SignalBlock block;
        take(lock_);
        if (!registered_) {
            const int answer = pthread_atfork(&prepare, &after, &after_in_child);
            if (answer != 0) {
                release(lock_);
                return fail(answer, "pthread_atfork");
            }
            registered_ = true;
        }
        ForkPage** link = &first_;
        while (order == ForkPage::Order::innermost && *link != nullptr)
            link = &(*link)->next_;
        page.next_ = *link;
        *link = &page;
        release(lock_);
        return {};
    }

    static void remove(ForkPage& page) noexcept
    {
        const SignalBlock block;
        take(lock_);
        for (ForkPage** link = &first_; *link != nullptr; link = &(*link)->next_) {
            if (*link == &page) {
                *link = page.next_;
                break;
            }
        }
        release(lock_);
    }

    static void take(std::atomic<std::uint32_t>& lock) noexcept
    {
        for (unsigned attempt = 0;; ++attempt) {
            std::uint32_t expected = 0;
            if (lock.compare_exchange_weak(expected, 1, std::memory_order_acquire))
                return;
            back_off(attempt);
        }
    }

    static void release(std::atomic<std::uint32_t>& lock) noexcept
    {
        lock.store(0, std::memory_order_release);
    }

  private:
    static void prepare() noexcept
    {
        SavedSignals saved;
        block_asynchronous_signals(saved);
        take(lock_);
        saved_signals_ = saved;
        for (ForkPage* page = first_; page != nullptr; page = page->next_)
            page->lock();
    }

    // In the parent, and in the child, where the pages themselves read as zero by now.
    static void after() noexcept
    {
        for (ForkPage* page = first_; page != nullptr; page = page->next_)
            page->unlock();
        const SavedSignals saved = saved_signals_;
        release(lock_);
        restore_signals(saved);
    }

    static void after_in_child() noexcept
    {
        for (ForkPage* page = first_; page != nullptr; page = page->next_)
            if (page->in_child_.action != nullptr)
                page->in_child_.action(page->in_child_.of);
        after();
    }

    static inline std::atomic<std::uint32_t> lock_{0};
    static inline ForkPage* first_ = nullptr;
    static inline bool registered_ = false;
    static inline SavedSignals saved_signals_{}; // of the thread between prepare and after
};

Result<void> ForkPage::open(Order order, InChild in_child) noexcept
{
    const auto memory = map_anonymous(page_size, PROT_READ | PROT_WRITE);
    if (!memory)
        return tl::unexpected(memory.error());
    if (auto ok = advise(*memory, MADV_WIPEONFORK); !ok) {
        (void)unmap(*memory);
        return ok;
    }
    page_ =
        new (reinterpret_cast<void*>(memory->start)) Page{}; // NOLINT(performance-no-int-to-ptr)
    claim();
    in_child_ = in_child;
    return ForkPages::add(*this, order);
}

void ForkPage::close() noexcept
{
    if (page_ == nullptr)
        return;
    ForkPages::remove(*this);
    const auto start = reinterpret_cast<std::uintptr_t>(page_);
    page_ = nullptr;
    (void)unmap({start, start + page_size});
}

void ForkPage::lock() noexcept
{
    ForkPages::take(page_->locked);
}

void back_off(unsigned attempt) noexcept
{
    if (attempt < 64) {
        __builtin_ia32_pause();
    } else if (attempt < 256) {
        sched_yield();
    } else {
        // The holder may have a lower real-time priority than we: yielding would not let it run.
        const timespec pause{.tv_sec = 0, .tv_nsec = 50'000};
        // Not nanosleep(3): that is a point of cancellation, and readers must be able to be ended
        // anywhere (Wine's TerminateThread) without an exception table in the way.
        const int saved = errno;
        ::syscall(SYS_nanosleep, &pause, nullptr);
        errno = saved;
    }
}

} // namespace writewatch::sys
