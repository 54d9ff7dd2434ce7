// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>

namespace demo {

struct Options {
    std::size_t heap_mib = 64;
    unsigned threads = 2;
    unsigned rounds = 20;
    std::uint64_t writes = 0; // by each thread in each round; 0: a quarter of the page count
    std::size_t array = 0;    // pages that one GetWriteWatch may return; 0: the page count
    std::uint64_t seed = 1;
    bool json = false;
    bool lose_a_page = false;
};

enum class Parsed { run, help_shown, wrong };

// Reports mistakes on stderr in one line that says what is allowed.
Parsed parse(int argc, char** argv, Options& options);

} // namespace demo
