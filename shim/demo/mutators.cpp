// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/demo/mutators.h"

#include "shim/demo/random.h"

namespace demo {

namespace {

// Often enough that a stop is short, seldom enough that the lock does not show.
constexpr std::uint64_t writes_between_safepoints = 64;

void mutate(Heap& heap, World& world, std::uint64_t writes, std::uint64_t seed)
{
    Random random(seed);
    std::uint64_t since_safepoint = 0;
    for (std::uint64_t i = 0; i < writes; ++i) {
        // Word 0 is the reference, the others are data.
        const std::size_t object = random.below(heap.objects());
        const std::size_t word = random.below(Heap::words_per_object);
        heap.write(object, word, word == 0 ? random.below(heap.objects()) : random.next());
        if (++since_safepoint == writes_between_safepoints) {
            world.safepoint(since_safepoint);
            since_safepoint = 0;
        }
    }
    world.safepoint(since_safepoint);
    world.leave();
}

} // namespace

Mutators::Mutators(Heap& heap, World& world, unsigned threads, std::uint64_t writes,
                   std::uint64_t seed)
{
    for (unsigned i = 0; i < threads; ++i)
        threads_.emplace_back(mutate, std::ref(heap), std::ref(world), writes, seed * 1000 + i + 1);
}

void Mutators::join()
{
    for (std::thread& thread : threads_)
        if (thread.joinable())
            thread.join();
}

} // namespace demo
