// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/demo/world.h"

namespace demo {

void World::safepoint(std::uint64_t writes_since_the_last)
{
    std::unique_lock lock(mutex_);
    writes_ += writes_since_the_last;
    if (!stopped_) {
        if (writes_ >= awaited_writes_)
            changed_for_collector_.notify_one();
        return;
    }
    --running_;
    changed_for_collector_.notify_one();
    resumed_.wait(lock, [this] { return !stopped_; });
    ++running_;
}

void World::leave()
{
    const std::lock_guard lock(mutex_);
    --inside_;
    --running_;
    changed_for_collector_.notify_one();
}

void World::wait_for_writes(std::uint64_t total)
{
    std::unique_lock lock(mutex_);
    awaited_writes_ = total;
    changed_for_collector_.wait(lock, [&] { return writes_ >= total || inside_ == 0; });
}

void World::stop()
{
    std::unique_lock lock(mutex_);
    stopped_ = true;
    changed_for_collector_.wait(lock, [this] { return running_ == 0; });
}

void World::resume()
{
    const std::lock_guard lock(mutex_);
    stopped_ = false;
    resumed_.notify_all();
}

} // namespace demo
