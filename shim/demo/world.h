// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Stopping the world: the threads that write call safepoint() now and then, and wait there while
// the collector has the world stopped. The collector paces itself by their writes, as collectors do
// by allocation.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace demo {

class World {
  public:
    explicit World(unsigned threads) : inside_(threads), running_(threads) {}

    // Called by each writing thread: between writes, and once after its last.
    void safepoint(std::uint64_t writes_since_the_last);
    void leave();

    // Called by the collector. wait_for_writes() returns early when no thread is left.
    void wait_for_writes(std::uint64_t total);
    void stop();
    void resume();

  private:
    std::mutex mutex_;
    std::condition_variable changed_for_collector_;
    std::condition_variable resumed_;
    std::uint64_t writes_ = 0;
    std::uint64_t awaited_writes_ = 0;
    unsigned inside_;  // threads that have not left
    unsigned running_; // of these, the ones that are not parked
    bool stopped_ = false;
};

} // namespace demo
