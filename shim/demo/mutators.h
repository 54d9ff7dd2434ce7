// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The program that the collector works for: threads that change objects all over the heap.
#pragma once

#include <cstdint>
#include <thread>
#include <vector>

#include "shim/demo/heap.h"
#include "shim/demo/world.h"

namespace demo {

class Mutators {
  public:
    // Starts `threads` threads that make `writes` writes each.
    Mutators(Heap& heap, World& world, unsigned threads, std::uint64_t writes, std::uint64_t seed);
    ~Mutators() { join(); }
    Mutators(const Mutators&) = delete;
    Mutators& operator=(const Mutators&) = delete;

    void join();

  private:
    std::vector<std::thread> threads_;
};

} // namespace demo
