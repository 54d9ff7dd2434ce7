// SPDX-License-Identifier: LGPL-2.1-or-later
#include "expectations.h"

#include "conformance.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace conformance {

Expectations Expectations::read(const std::string& path)
{
    std::ifstream file(path);
    if (!file)
        throw std::runtime_error("cannot read " + path);

    Expectations expectations;
    std::string line;
    for (unsigned number = 1; std::getline(file, line); ++number) {
        std::istringstream words(line.substr(0, line.find('#')));
        std::string name;
        if (!(words >> name))
            continue;
        const bool not_run = name.front() == '!';
        if (not_run)
            name.erase(0, 1);
        std::string reason;
        std::getline(words >> std::ws, reason);
        while (!reason.empty() && (reason.back() == '\r' || reason.back() == ' '))
            reason.pop_back();

        const std::string where = path + ":" + std::to_string(number) + ": ";
        if (reason.empty())
            throw std::runtime_error(where + name + " has no reason");
        if (std::none_of(rules().begin(), rules().end(),
                         [&](const Rule& rule) { return name == rule.name; }))
            throw std::runtime_error(where + "there is no rule " + name);
        if (!expectations.reasons_.emplace(name, reason).second)
            throw std::runtime_error(where + name + " is listed twice");
        if (not_run)
            expectations.not_run_.insert(name);
    }
    return expectations;
}

const std::string* Expectations::reason(const std::string& rule) const
{
    const auto found = reasons_.find(rule);
    return found == reasons_.end() ? nullptr : &found->second;
}

} // namespace conformance
