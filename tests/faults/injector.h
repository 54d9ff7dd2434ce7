// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Makes system calls of the library fail, one call at a time. The functions of libc through which
// it makes them are replaced when the test is linked (ld --wrap), so that the library under test is
// the one that is shipped.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace writewatch::faults {

// How a call fails.
struct Kind {
    enum class How {
        fails,           // as if the kernel had refused: nothing was done
        half_then_error, // PAGEMAP_SCAN: the first half of the range is scanned and armed, then it
                         // fails
        one_byte,        // read: a short one
    };
    How how = How::fails;
    int error = 0; // errno
};

struct Fault {
    std::string call; // "PAGEMAP_SCAN", "mmap", …
    Kind kind;
    unsigned number = 1;       // the first call that fails, counted from 1
    bool until_lifted = false; // and all later ones, until lift()

    // "PAGEMAP_SCAN:ENOMEM:3", or ":3+" for until_lifted
    std::string name() const;
};

// The faults that a run with the calls counted so far can meet: each call up to the 40th, of more
// of them some 40.
std::vector<Fault> every_fault();

// Only calls made while one of these lives count, and can fail.
class InLibrary {
  public:
    InLibrary() noexcept;
    ~InLibrary();
    InLibrary(const InLibrary&) = delete;
    InLibrary& operator=(const InLibrary&) = delete;
};

void plan(const Fault& fault);
// No fault from here on; calls are no longer counted.
void lift();
// Whether the planned fault has happened.
bool happened();

// The scenario in a child process, once without a fault to count its calls, then with each fault,
// or with the one that WRITEWATCH_FAULT names. It returns what went wrong, or nothing.
int run_with_every_fault(const char* program, const std::function<std::string()>& scenario);

// File descriptors and mappings of this process: what a call must not leave behind.
struct Resources {
    std::size_t descriptors = 0;
    std::size_t mappings = 0;
    static Resources now();
};

} // namespace writewatch::faults
