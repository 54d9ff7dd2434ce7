// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is measured: mechanisms that track writes, side by side in one process behind one small
// interface, so that each pattern is written once and runs on all of them. A write is a plain store
// and the same for all.
//
// The peers are the designs that programs use today, each written from its description and in its
// strongest form; none is a copy of anybody's code.
#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

inline constexpr std::size_t page_size = 4096;

// Why a peer cannot run here. Peers look when they are made, by trying.
class Unavailable : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// Sizes are in bytes and multiples of a page, addresses page-aligned. A peer that fails in the
// middle of a measurement ends the process with a message: there is nothing to compare then.
class Peer {
  public:
    virtual ~Peer() = default;

    virtual std::string_view name() const = 0;

    // Watched memory, readable and writable, all of it clean.
    virtual char* allocate(std::size_t bytes) = 0;
    // Watched address space that cannot be accessed before it is committed, piece by piece.
    virtual char* reserve(std::size_t bytes) = 0;
    virtual void commit(char* base, std::size_t bytes) = 0;
    // `bytes` as allocated or reserved.
    virtual void release(char* base, std::size_t bytes) = 0;

    // The addresses of the first `capacity` written pages of the range, ascending; returns their
    // number. get_reset makes exactly these clean.
    virtual std::size_t get(char* base, std::size_t bytes, void** out, std::size_t capacity) = 0;
    virtual std::size_t get_reset(char* base, std::size_t bytes, void** out,
                                  std::size_t capacity) = 0;
    virtual void reset(char* base, std::size_t bytes) = 0;

    // False for the control that tracks nothing: its get finds nothing.
    virtual bool answers() const { return true; }
    // False where only the whole process can be reset.
    virtual bool resets_ranges() const { return true; }
    // A limit of the system that this peer met since the last call; what was measured meanwhile
    // says nothing. Empty: none.
    virtual std::string take_limit() { return {}; }
};

// Names in the order of reports.
const std::vector<std::string>& peer_names();

// One line on what the peer does.
const char* peer_description(std::string_view name);

// Throws Unavailable, or std::invalid_argument for an unknown name. At most one of each name at a
// time: mprotect and uffd-sync have a signal handler and a thread.
std::unique_ptr<Peer> make_peer(std::string_view name);

// A store into each of the pages is what programs do; the compiler must not drop it.
inline void write_page(char* base, std::size_t page, char value)
{
    *static_cast<volatile char*>(base + page * page_size) = value;
}

// Prints "bench: WHAT: error" and ends the process.
[[noreturn]] void die(std::string_view what, int error);

} // namespace bench
