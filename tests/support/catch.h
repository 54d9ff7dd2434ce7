// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Catch2 through one include: v2 (Debian 12) and v3 (Debian 13). The main function is main.cpp's.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <optional>
#include <string>

namespace writewatch::test {

// Defined by each test program: what the machine lacks for any of its cases to run, if anything.
// main() turns it into exit status 77 with the reason on stderr, or into a failure when
// WRITEWATCH_TEST_REQUIRE names the capability. Not decided per case: Meson counts a program whose
// cases were all skipped as passed.
struct Missing {
    const char* capability; // "pagemap-scan", "root", "hugetlb", ...
    std::string reason;
};
std::optional<Missing> missing();

// Leaves the program at once as above, from inside a case that finds out late.
[[noreturn]] void leave_without(const Missing& missing);

} // namespace writewatch::test
