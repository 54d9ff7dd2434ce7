// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the system does to watched memory besides the stores of this program, on Linux
// (platform_linux.cpp) and on Windows or under Wine (platform_windows.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace writewatch::test {

// One way in which the system writes at the program's request.
struct Way {
    std::string name;
    // Whether it looks the page up first and writes later, without a fault: reported exactly only
    // while no reset of the page runs (docs/deviations.md). The others copy as a store does.
    bool pins;
    std::size_t bytes; // it writes so many, at a multiple of so many
    std::function<void(char* at, std::uint64_t value)> write; // ends the program when it fails
};

// The ways for one thread, the same ones in the same order for each; `missing` gets a line for each
// that this system does not offer. May start a process, so it is called before memory is watched.
std::vector<Way> open_ways(std::vector<std::string>& missing);

// Asks the system to swap out, merge into huge pages or split what is in this range, by `choice`.
// Contents stay. False where it does no such thing.
bool move_contents(char* start, std::size_t bytes, std::size_t choice);

// A child process by fork, with its own state, gets and resets the range, which must not disturb
// the parent's. Ends the program when that fails; false where there is no fork.
bool reset_in_fork(char* start, std::size_t bytes);

// Ends the program with exit status 1.
[[noreturn]] void fail(const std::string& what);

} // namespace writewatch::test
