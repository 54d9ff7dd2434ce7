// SPDX-License-Identifier: LGPL-2.1-or-later
// One call of a sequence, and its text: what a failure prints is what --replay reads.
#ifndef WRITEWATCH_TESTS_MODEL_CALL_H
#define WRITEWATCH_TESTS_MODEL_CALL_H

#include <writewatch/win32.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace model {

inline constexpr std::size_t page_size = 0x1000;
inline constexpr unsigned slots = 4; ///< how many regions a sequence can hold at once: r0 to r3

enum class Kind {
    alloc,       ///< VirtualAlloc with MEM_RESERVE, into a slot
    commit,      ///< VirtualAlloc with MEM_COMMIT
    decommit,    ///< VirtualFree with MEM_DECOMMIT
    release,     ///< VirtualFree with MEM_RELEASE
    protect,     ///< VirtualProtect
    drop,        ///< VirtualAlloc with MEM_RESET
    write,       ///< memset of a byte range
    write_every, ///< one byte into every step-th page of a byte range
    read,        ///< reads a byte range and compares it
    get,         ///< GetWriteWatch
    reset,       ///< ResetWriteWatch
    query,       ///< VirtualQuery
};

struct Call {
    Kind kind = Kind::get;
    unsigned slot = 0;
    std::int64_t offset = 0;  ///< of the address, from the start of the slot's region
    std::uint64_t size = 0;   ///< bytes
    std::uint32_t value = 0;  ///< alloc: type; commit, protect: protection; write: byte; get: flags
    std::uint64_t number = 0; ///< get: capacity; write_every: bytes from one page to the next
    bool null_address = false;
    bool null_array = false;
    bool null_count = false;
    bool null_granularity = false;

    bool operator==(const Call&) const = default;
};

using Sequence = std::vector<Call>;

std::string to_text(const Call& call);
std::string to_text(const Sequence& sequence);

/// Throws std::runtime_error: a line that to_text does not write. Empty lines and // are skipped.
Sequence parse(const std::string& text);

} // namespace model

#endif
