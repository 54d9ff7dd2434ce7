// SPDX-License-Identifier: LGPL-2.1-or-later
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER
// Its SIGSEGV handler would take the place of the mprotect backend's and call nobody.
#define CATCH_CONFIG_NO_POSIX_SIGNALS
#endif
#include "tests/support/catch.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#if __has_include(<catch2/catch_all.hpp>)
// Catch2 v3 comes compiled, with a SIGSEGV handler that would take the place of the mprotect
// backend's and call nobody. These four are all of that part of its library: with them defined here
// the linker leaves its own out.
namespace Catch {
FatalConditionHandler::FatalConditionHandler() = default;
FatalConditionHandler::~FatalConditionHandler() = default;
void FatalConditionHandler::engage_platform() {}
void FatalConditionHandler::disengage_platform() noexcept {}
} // namespace Catch
#endif

namespace writewatch::test {

void leave_without(const Missing& missing)
{
    const char* const required = std::getenv("WRITEWATCH_TEST_REQUIRE");
    const bool fails = required != nullptr && std::strstr(required, missing.capability) != nullptr;
    std::fprintf(stderr, "%s: %s: %s\n", fails ? "FAILED, required" : "skipped", missing.capability,
                 missing.reason.c_str());
    std::fflush(nullptr);
    std::_Exit(fails ? 1 : 77);
}

} // namespace writewatch::test

int main(int argc, char** argv)
{
    if (const auto missing = writewatch::test::missing())
        writewatch::test::leave_without(*missing);
    // Catch2 returns the number of failures, which may be 77.
    return Catch::Session().run(argc, argv) == 0 ? 0 : 1;
}
