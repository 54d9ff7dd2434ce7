// SPDX-License-Identifier: LGPL-2.1-or-later
// Rules of every outcome, to show that the suite reports each as what it is. (A rule that hangs is
// not among them: it would take a minute.)
#include "tests/conformance/conformance.h"
#include "tests/conformance/roles.h"

#include <cstdlib>
#include <stdexcept>

using namespace conformance;

std::optional<int> conformance::play_role(int, char**)
{
    return std::nullopt;
}

RULE(outcome, passes, "itself")
{
    check_equal("one", 1U, 1U);
}

RULE(outcome, fails, "itself")
{
    check_equal("the number", 1U, 2U);
    check("a second statement", false);
}

RULE(outcome, fails_a_precondition, "itself")
{
    require("what the rest needs", false);
    std::abort(); // not reached
}

RULE(outcome, throws, "itself")
{
    throw std::runtime_error("thrown");
}

RULE(outcome, crashes, "itself")
{
    check("something before", false);
    volatile int* volatile nowhere = nullptr;
    *nowhere = 1;
}

RULE(outcome, ends_its_process, "itself")
{
    std::_Exit(0);
}

RULE(outcome, skips, "itself")
{
    skip("for want of a reason");
}

RULE(outcome, fails_then_skips, "itself")
{
    check("something", false);
    skip("too late");
}

RULE(outcome, is_a_todo, "itself")
{
    todo(true, "not yet");
    check("something", false);
}

RULE(outcome, is_a_todo_that_passes, "itself")
{
    todo(true, "done long ago");
}

RULE(outcome, passes_after_all_that, "itself") {}

NOT_APPLICABLE(outcome, cannot_be_asked, "nowhere")
