// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/sys/result.h"
#include "shim/sys/signals.h"

#include <atomic>

namespace writewatch::sys {

// What fork() does in the child before it returns there, by the child's only thread and with
// signals blocked. A raw clone and _Fork() do not. Must be async-signal-safe.
struct InChild {
    void (*action)(void* of) noexcept = nullptr;
    void* of = nullptr;
};

// One page that every kind of fork zeroes in the child, raw clone included (MADV_WIPEONFORK, Linux
// 4.14). Holds what must not be inherited: the mark "this process opened the handles", and a lock,
// which another thread of the parent may have held at the fork.
//
// fork() itself waits for the lock (pthread_atfork), so that what the lock guards is whole in the
// child. A raw clone does not: see RegionTable::recover_after_fork.
class ForkPage {
  public:
    // Which lock a thread may take while it holds others: fork() takes them in this order, too, and
    // those of equal order from the last opened to the first.
    enum class Order : bool { outer, innermost };

    Result<void> open(Order order = Order::outer, InChild in_child = {}) noexcept;
    void close() noexcept;

    // True in a child process until the next claim().
    bool inherited() const noexcept { return page_->claimed.load(std::memory_order_acquire) == 0; }
    void claim() noexcept { page_->claimed.store(1, std::memory_order_release); }

    // A short lock; take it under a SignalBlock, as ForkPageLock does.
    void lock() noexcept;
    void unlock() noexcept { page_->locked.store(0, std::memory_order_release); }

  private:
    friend class ForkPages;

    struct Page {
        std::atomic<std::uint32_t> claimed;
        std::atomic<std::uint32_t> locked;
    };
    Page* page_ = nullptr;
    InChild in_child_;
    ForkPage* next_ = nullptr; // in the list of all open ones
};

// Holds a page's lock, with all asynchronous signals blocked as long: a thread suspended in here
// would keep all others waiting.
class ForkPageLock {
  public:
    explicit ForkPageLock(ForkPage& page) noexcept : page_(page) { page_.lock(); }
    ~ForkPageLock() { page_.unlock(); }
    ForkPageLock(const ForkPageLock&) = delete;
    ForkPageLock& operator=(const ForkPageLock&) = delete;

  private:
    SignalBlock signals_;
    ForkPage& page_;
};

// Lets other threads run; called while spinning on something that another thread holds shortly.
// `attempt` counts the caller's tries.
void back_off(unsigned attempt) noexcept;

} // namespace writewatch::sys
