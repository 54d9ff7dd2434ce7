// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The owner's side of a segment: the file and its mappings (Boost.Interprocess), nothing of what is
// in them.
//
// The file's lock says that the owner's address space exists (shim/sys/shared_memory.h): it is held
// by the mapping alone, since the descriptor is closed at once and children by fork do not get the
// mapping. So nothing is left open that the program could close, and exit, kill and exec end it.
#pragma once

#include "shim/registry/layout.h"
#include "shim/sys/fork.h"
#include "shim/sys/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <sys/types.h>

namespace writewatch::registry {

inline constexpr char name_prefix[] = "writewatch.";

// "writewatch.PID.START.UNIQUE": never used twice, since the last part is the time it was made at.
// So removing the name of a process that is gone cannot hit another.
using SegmentName = std::array<char, 64>;
SegmentName name_of(pid_t pid, std::uint64_t start_time, std::uint64_t unique) noexcept;

class Segment {
  public:
    // Makes the file with `bytes` in it, zeroed, and takes its lock. `at_fork` is locked for the
    // moment in which a child could inherit the mapping. Allocates.
    static Result<std::unique_ptr<Segment>> create(std::uint64_t start_time, std::size_t bytes,
                                                   sys::ForkPage& at_fork) noexcept;
    ~Segment();
    Segment(const Segment&) = delete;
    Segment& operator=(const Segment&) = delete;

    struct Chunk {
        std::byte* memory;
        std::uint64_t offset;
    };
    // The first of create's bytes.
    std::byte* memory() const noexcept { return memory_; }
    // More bytes, zeroed, at the end of the file. Allocates.
    Result<Chunk> extend(std::size_t bytes, sys::ForkPage& at_fork) noexcept;
    std::uint64_t size() const noexcept { return size_; }

    void remove_name() noexcept;

    // In a child process, which did not get the mappings: fills their place. A call that a signal
    // handler interrupted to fork counts there in both processes. Async-signal-safe.
    void fill_in_child() noexcept;

  private:
    class Mappings; // Boost's, kept out of this header

    Segment();

    SegmentName name_{};
    std::unique_ptr<Mappings> mappings_;
    std::byte* memory_ = nullptr;
    std::uint64_t size_ = 0;
};

} // namespace writewatch::registry
