// SPDX-License-Identifier: LGPL-2.1-or-later
#include "worker.h"

#include "platform.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

namespace conformance {

namespace {

std::atomic<unsigned> rules_begun{0};

/// A rule that hangs cannot be unwound: the process ends, and the supervisor knows which rule it
/// was.
void watch_for_hangs()
{
    constexpr auto step = std::chrono::seconds(1);
    unsigned seen = rules_begun;
    unsigned seconds = 0;
    for (;;) {
        std::this_thread::sleep_for(step);
        const unsigned now = rules_begun;
        seconds = now == seen ? seconds + 1 : 0;
        seen = now;
        if (seconds >= rule_timeout_seconds)
            exit_at_once(exit_code_hang);
    }
}

bool matches(const char* pattern, const char* name)
{
    if (*pattern == '\0')
        return *name == '\0';
    if (*pattern == '*')
        return matches(pattern + 1, name) || (*name != '\0' && matches(pattern, name + 1));
    return *pattern == *name && matches(pattern + 1, name + 1);
}

} // namespace

const char* outcome_word(Outcome outcome)
{
    switch (outcome) {
    case Outcome::passed:
        return "passed";
    case Outcome::failed:
        return "failed";
    case Outcome::skipped:
        return "skipped";
    case Outcome::not_applicable:
        return "not-applicable";
    case Outcome::todo:
        return "todo";
    case Outcome::not_run:
        return "not-run";
    }
    return "failed";
}

bool selected(const Rule& rule, const std::vector<std::string>& patterns)
{
    bool any_wanted = false;
    bool wanted = false;
    for (const std::string& each : patterns) {
        if (!each.starts_with(except_mark)) {
            any_wanted = true;
            wanted = wanted || matches(each.c_str(), rule.name);
        } else if (matches(each.c_str() + 1, rule.name))
            return false;
    }
    return wanted || !any_wanted;
}

void run_worker(const std::vector<std::string>& patterns, std::size_t first,
                const Expectations& expectations)
{
    no_crash_dialogs();
    std::thread(watch_for_hangs).detach();

    const std::vector<Rule>& all = rules();
    for (std::size_t i = first; i < all.size(); ++i) {
        if (!selected(all[i], patterns))
            continue;
        ++rules_begun;
        std::printf("@begin %zu\n", i);
        std::fflush(stdout);
        const Result result =
            expectations.must_not_run(all[i].name) ? Result{Outcome::not_run, 0} : run_rule(all[i]);
        std::printf("@end %zu %s %u\n", i, outcome_word(result.outcome), result.milliseconds);
        std::fflush(stdout);
    }
    std::printf("@done\n");
    std::fflush(stdout);
    // Not through main's return: a rule that leaked a thread must not turn the end into a crash.
    exit_at_once(0);
}

} // namespace conformance
