// SPDX-License-Identifier: LGPL-2.1-or-later
// Rules run in a worker process: the program starts itself again, so that a rule that crashes or
// hangs fails by its own name and the rules after it still run (in a new worker).
// The worker speaks lines on its standard output:
//     @begin INDEX        before the rule's first statement
//     | TEXT              something the rule has to say
//     @end INDEX OUTCOME MILLISECONDS
//     @done               no rule left
#ifndef WRITEWATCH_TESTS_CONFORMANCE_WORKER_H
#define WRITEWATCH_TESTS_CONFORMANCE_WORKER_H

#include "conformance.h"
#include "expectations.h"

#include <cstddef>
#include <string>

namespace conformance {

enum class Outcome { passed, failed, skipped, not_applicable, todo, not_run };

const char* outcome_word(Outcome outcome);

struct Result {
    Outcome outcome;
    unsigned milliseconds;
};

/// Runs one rule in this process; what it has to say goes to standard output.
Result run_rule(const Rule& rule);

/// The worker: runs the rules that \p patterns select, from the \p first of all rules on.
[[noreturn]] void run_worker(const std::vector<std::string>& patterns, std::size_t first,
                             const Expectations& expectations);

/// Begins a pattern of rules that are not to run.
inline constexpr char except_mark = '!';

/// Does one of \p patterns match the rule's name, and none that begins with except_mark? '*' stands
/// for any characters. Without patterns that say what to run, all rules are.
bool selected(const Rule& rule, const std::vector<std::string>& patterns);

/// How long one rule may take before its worker ends itself (--timeout; set before any rule runs).
inline unsigned rule_timeout_seconds = 60;

} // namespace conformance

#endif
