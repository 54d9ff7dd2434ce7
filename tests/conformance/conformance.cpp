// SPDX-License-Identifier: LGPL-2.1-or-later
#include "conformance.h"
#include "worker.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <utility>

namespace conformance {

namespace {

struct Current {
    bool failed = false;
    bool todo = false;
    std::string todo_reason;
};

Current current;

std::vector<Rule>& registry()
{
    static std::vector<Rule> all;
    return all;
}

struct Name {
    std::uint32_t value;
    const char* name;
};

constexpr Name error_names[] = {
    {ERROR_SUCCESS, "ERROR_SUCCESS"},
    {ERROR_INVALID_HANDLE, "ERROR_INVALID_HANDLE"},
    {ERROR_NOT_ENOUGH_MEMORY, "ERROR_NOT_ENOUGH_MEMORY"},
    {ERROR_INVALID_PARAMETER, "ERROR_INVALID_PARAMETER"},
    {ERROR_INVALID_ADDRESS, "ERROR_INVALID_ADDRESS"},
    {ERROR_NOACCESS, "ERROR_NOACCESS"},
    {ERROR_COMMITMENT_LIMIT, "ERROR_COMMITMENT_LIMIT"},
};

constexpr Name status_names[] = {
    {static_cast<std::uint32_t>(status_success.value), "STATUS_SUCCESS"},
    {static_cast<std::uint32_t>(status_access_violation.value), "STATUS_ACCESS_VIOLATION"},
    {static_cast<std::uint32_t>(status_invalid_handle.value), "STATUS_INVALID_HANDLE"},
    {static_cast<std::uint32_t>(status_invalid_parameter.value), "STATUS_INVALID_PARAMETER"},
    {static_cast<std::uint32_t>(status_no_memory.value), "STATUS_NO_MEMORY"},
};

template<std::size_t N> std::string name_of(const Name (&names)[N], std::uint32_t value)
{
    for (const Name& each : names)
        if (each.value == value)
            return each.name;
    return {};
}

void message(const std::string& text)
{
    std::printf("| %s\n", text.c_str());
    std::fflush(stdout);
}

const char* base_name(const char* path)
{
    const char* name = path;
    for (const char* c = path; *c; ++c)
        if (*c == '/' || *c == '\\')
            name = c + 1;
    return name;
}

} // namespace

Registration::Registration(const Rule& rule)
{
    registry().push_back(rule);
}

const std::vector<Rule>& rules()
{
    static const std::vector<Rule> sorted = [] {
        std::vector<Rule> all = registry();
        std::sort(all.begin(), all.end(), [](const Rule& a, const Rule& b) {
            const int files = std::strcmp(base_name(a.file), base_name(b.file));
            return files != 0 ? files < 0 : a.line < b.line;
        });
        return all;
    }();
    return sorted;
}

void skip(std::string reason)
{
    throw Skipped{std::move(reason)};
}

void not_applicable(std::string reason)
{
    throw NotApplicable{std::move(reason)};
}

void todo(bool applies, const std::string& reason)
{
    if (!applies)
        return;
    current.todo = true;
    current.todo_reason = reason;
}

void note(const std::string& text)
{
    message("note: " + text);
}

void record_failure(const std::string& text, const char* file, int line)
{
    current.failed = true;
    message(std::string(base_name(file)) + ":" + std::to_string(line) + ": " + text);
}

std::string show_number(std::uint64_t value)
{
    char text[64];
    if (value < 0x10000)
        std::snprintf(text, sizeof text, "%llu", static_cast<unsigned long long>(value));
    else
        std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

std::string show(Error error)
{
    const std::string name = name_of(error_names, error.value);
    return (name.empty() ? "error" : name) + " (" + std::to_string(error.value) + ")";
}

std::string show(Status status)
{
    const auto value = static_cast<std::uint32_t>(status.value);
    const std::string name = name_of(status_names, value);
    return (name.empty() ? "status" : name) + " (" + show_number(value) + ")";
}

std::string show(const Pages& pages)
{
    constexpr std::size_t shown = 16;
    std::string text = "{";
    for (std::size_t i = 0; i < pages.size() && i < shown; ++i)
        text += (i ? ", " : "") + std::to_string(pages[i]);
    if (pages.size() > shown)
        text += ", ... " + std::to_string(pages.size()) + " in all";
    return text + "}";
}

std::string show(const void* address)
{
    return address ? show_number(reinterpret_cast<std::uintptr_t>(address)) : "NULL";
}

std::string show(bool value)
{
    return value ? "true" : "false";
}

Result run_rule(const Rule& rule)
{
    if (!rule.body) {
        message(rule.not_applicable);
        return {Outcome::not_applicable, 0};
    }

    current = {};
    Outcome left = Outcome::passed;
    const auto start = std::chrono::steady_clock::now();
    try {
        rule.body();
    } catch (const Skipped& skipped) {
        message(skipped.reason);
        left = Outcome::skipped;
    } catch (const NotApplicable& reason) {
        message(reason.reason);
        left = Outcome::not_applicable;
    } catch (const Abandoned&) {
    } catch (const std::exception& e) {
        record_failure(std::string("exception: ") + e.what(), rule.file, rule.line);
    }
    const auto spent = std::chrono::steady_clock::now() - start;
    const auto ms =
        static_cast<unsigned>(std::chrono::duration_cast<std::chrono::milliseconds>(spent).count());

    // A rule that failed and then skipped has failed.
    if (current.todo) {
        message("todo: " + current.todo_reason);
        if (!current.failed && left == Outcome::passed) {
            message("the todo passes: remove it");
            return {Outcome::failed, ms};
        }
        return {current.failed ? Outcome::todo : left, ms};
    }
    return {current.failed ? Outcome::failed : left, ms};
}

} // namespace conformance
