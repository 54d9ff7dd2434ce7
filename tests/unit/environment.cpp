// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A process that gained privileges at exec (AT_SECURE) takes nothing from its environment. This
// program makes a copy of itself set-user-ID and runs it; without arguments it is the test.
#include "shim/sys/env.h"
#include "tests/support/set_user_id.h"

using namespace writewatch;

namespace {

constexpr int inconsistent = 12;

int report()
{
    const bool secure = sys::is_privileged_process();
    const auto value = sys::environment("WRITEWATCH_LOG");
    if (!secure && value && *value == "debug" && !sys::environment("WRITEWATCH_EMPTY") &&
        !sys::environment("WRITEWATCH_UNSET"))
        return test::ordinary;
    return secure && !value ? test::privileged : inconsistent;
}

} // namespace

int main(int argc, char**)
{
    if (argc > 1)
        return report();
    return test::compare_with_privileged_copy([] {
        setenv("WRITEWATCH_LOG", "debug", 1);
        setenv("WRITEWATCH_EMPTY", "", 1);
        unsetenv("WRITEWATCH_UNSET");
    });
}
