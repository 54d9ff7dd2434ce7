// SPDX-License-Identifier: LGPL-2.1-or-later
// A named list of known failures: one rule per line, then the reason; '#' starts a comment.
// A rule of the list that passes is as much an error as a failure that is not in the list.
// A '!' before the name means: do not even run it here (it would hang, or take minutes).
#ifndef WRITEWATCH_TESTS_CONFORMANCE_EXPECTATIONS_H
#define WRITEWATCH_TESTS_CONFORMANCE_EXPECTATIONS_H

#include <map>
#include <set>
#include <string>

namespace conformance {

class Expectations {
  public:
    Expectations() = default;

    /// Throws std::runtime_error: unreadable, a name without a reason, a name that no rule has, a
    /// name twice.
    static Expectations read(const std::string& path);

    /// Why \p rule is expected to fail, or null.
    const std::string* reason(const std::string& rule) const;

    /// Is \p rule marked with '!'?
    bool must_not_run(const std::string& rule) const { return not_run_.contains(rule); }

  private:
    std::map<std::string, std::string> reasons_;
    std::set<std::string> not_run_;
};

} // namespace conformance

#endif
