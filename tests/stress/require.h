// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace stress {

// The exit status of a test whose backend is not to be had: 77 is a skip, unless
// WRITEWATCH_TEST_REQUIRE names it.
inline int no_backend()
{
    const char* const required = std::getenv("WRITEWATCH_TEST_REQUIRE");
    const char* const name = std::getenv("WRITEWATCH_BACKEND");
    const bool fails =
        required != nullptr && name != nullptr && std::strstr(required, name) != nullptr;
    std::fprintf(stderr, "%s: no backend (see the message above)\n", fails ? "FAILED" : "skipped");
    return fails ? 1 : 77;
}

} // namespace stress
