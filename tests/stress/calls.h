// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Every public call about watches, one by one, with what must be prepared for it and checked after
// it. For tests that do something to a thread that is in the middle of one.
#pragma once

#include <writewatch/win32.h>
#include <writewatch/writewatch.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace calls {

inline constexpr std::size_t page = 4096;

// A watched region's pages by their use. Those of `kept` are reset by nothing but a get that
// returns them, so no report of them can be missing; those of `reset` also by resets; those of
// `dropped` also lose their contents.
inline constexpr std::size_t kept = 16;
inline constexpr std::size_t reset = 16;
inline constexpr std::size_t dropped = 16;
inline constexpr std::size_t first_reset = kept;
inline constexpr std::size_t first_dropped = kept + reset;
inline constexpr std::size_t pages = kept + reset + dropped;

// Pages of `kept`, as bits.
using Kept = std::uint32_t;

enum class Interface : std::uint8_t { win32, c };

struct World {
    char* heap[2] = {}; // by Interface: a watched region of `pages` pages
    ww_tracker* tracker = nullptr;

    // What the call at hand works on, and its results.
    char* memory = nullptr;
    ww_tracker* opened = nullptr;
    HANDLE process = nullptr;
    long count = 0;
    alignas(8) unsigned char found[(pages + 1) * sizeof(ww_range)] = {};
    bool answered = false;
};

struct Call {
    const char* name;
    // Before the call, also after one that was never finished.
    void (*prepare)(World&);
    // The call itself and nothing else; false when it failed.
    bool (*make)(World&);
    // Undoes what it did; false when something was wrong, or when it was not finished.
    bool (*finish)(World&);
    // How many other calls are made between two of this one, because it is long.
    unsigned rare = 1;
    Interface interface = Interface::win32;
    // It is a get with reset that covers `kept`: what it returned of that.
    Kept (*taken)(const World&) = nullptr;
    // Files that go with what it returns.
    unsigned returns_files = 0;
    // It is a store to the page `stored`, which was clean.
    bool stores = false;
};

inline constexpr std::size_t stored_page = 7;
inline constexpr Kept stored = Kept{1} << stored_page;

std::span<const Call> all();

// False, with a message on stderr, when there is no backend.
bool open(World& world);

// The pages of `kept` that are written; all with `reset` set when they are to be clean then. ~0:
// the call failed.
Kept get(const World& world, Interface interface, bool reset);

inline void write(const World& world, Interface interface, std::size_t number)
{
    auto* const at =
        static_cast<volatile char*>(world.heap[static_cast<int>(interface)] + number * page);
    *at = static_cast<char>(*at + 1);
}

// What another thread asks meanwhile, one thing per function, about the same regions and its own.
// False when it was answered wrongly.
struct Question {
    const char* name;
    bool (*ask)(const World&);
    unsigned rare = 1;
    bool slow = false;
};

std::span<const Question> questions();

} // namespace calls
