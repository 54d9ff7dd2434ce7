// SPDX-License-Identifier: LGPL-2.1-or-later
// The program: options, the supervisor that starts workers (worker.h), the report.
#include "conformance.h"
#include "expectations.h"
#include "platform.h"
#include "roles.h"
#include "worker.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

using namespace conformance;

namespace {

constexpr int exit_passed = 0;
constexpr int exit_failed = 1;
constexpr int exit_usage = 64;
constexpr int exit_skipped = 77;

constexpr char usage[] =
    R"(usage: conformance [OPTIONS]
Asks this system every rule of Windows' write watches and prints a table of the answers.

  --rule NAME      only the rules that NAME matches ('*' stands for any characters; may be repeated)
  --except NAME    not the rules that NAME matches; may be repeated
  --list           print the rules and who claims them, and run none
  --expect FILE    a list of known failures, one "RULE REASON" per line. An unexpected failure and
                   an unexpected pass are both errors. {platform} in FILE stands for what the
                   last line of the table begins with, such as wine-8.0
  --json           the report as one JSON object on standard output
  --timeout N      a rule fails that does not end within N seconds (default 60)
  --in-process     run the rules in this process, for a debugger; a crash ends the program
  --help           this text

Exit status: 0 all as expected, 1 not, 64 bad usage, 77 write watches are not available here.
)";

struct Options {
    std::vector<std::string> patterns; ///< none: all rules
    std::optional<std::string> expect;
    bool list = false;
    bool json = false;
    bool in_process = false;
    std::optional<std::size_t> worker; ///< internal: be the worker, from this rule on
};

struct Line {
    const Rule* rule = nullptr;
    std::string outcome; ///< the worker's word, or "known", "unexpected-pass"
    unsigned milliseconds = 0;
    std::vector<std::string> said;
};

[[noreturn]] void bad_usage(const std::string& message)
{
    std::fprintf(stderr, "conformance: %s (see --help)\n", message.c_str());
    std::exit(exit_usage);
}

std::string with_platform(std::string path)
{
    constexpr std::string_view placeholder = "{platform}";
    if (const std::size_t at = path.find(placeholder); at != std::string::npos)
        path.replace(at, placeholder.size(), platform_name());
    return path;
}

Options parse(int argc, char** argv)
{
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        const auto value = [&]() -> std::string {
            if (i + 1 == argc)
                bad_usage(argument + " needs a value");
            return argv[++i];
        };
        if (argument == "--rule")
            options.patterns.push_back(value());
        else if (argument == "--except")
            options.patterns.push_back(except_mark + value());
        else if (argument == "--expect")
            options.expect = with_platform(value());
        else if (argument == "--list")
            options.list = true;
        else if (argument == "--json")
            options.json = true;
        else if (argument == "--timeout")
            rule_timeout_seconds = static_cast<unsigned>(std::stoul(value()));
        else if (argument == "--in-process")
            options.in_process = true;
        else if (argument == "--worker")
            options.worker = std::stoul(value());
        else if (argument == "--help" || argument == "-h") {
            std::fputs(usage, stdout);
            std::exit(exit_passed);
        } else
            bad_usage("unknown argument " + argument);
    }
    return options;
}

/// The backend that is asked for may not exist here; whether that is an error is for the caller to
/// say.
bool available()
{
    void* probe =
        VirtualAlloc(nullptr, 0x1000, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    if (probe)
        VirtualFree(probe, 0, MEM_RELEASE);
    return probe != nullptr;
}

/// Only the backend that needs a kernel may be missing, and CI (WRITEWATCH_TEST_REQUIRE) forbids
/// that.
bool may_be_unavailable(DWORD error)
{
    const char* backend = std::getenv("WRITEWATCH_BACKEND");
    const char* required = std::getenv("WRITEWATCH_TEST_REQUIRE");
    constexpr DWORD not_supported = 50; // ERROR_NOT_SUPPORTED; anything else is broken, not missing
    if (error != not_supported || platform() != Platform::native || !backend ||
        std::strcmp(backend, "pagemap-scan") != 0)
        return false;
    return !required || std::strcmp(required, backend) != 0;
}

const char* tag(const std::string& outcome)
{
    if (outcome == "passed")
        return "PASS";
    if (outcome == "failed")
        return "FAIL";
    if (outcome == "skipped")
        return "SKIP";
    if (outcome == "not-applicable")
        return "N/A ";
    if (outcome == "todo")
        return "TODO";
    if (outcome == "known")
        return "KNOWN";
    return "UNEXPECTED PASS";
}

void print(const Line& line)
{
    std::printf("%-5s %s\n", tag(line.outcome), line.rule->name);
    for (const std::string& each : line.said)
        std::printf("        %s\n", each.c_str());
    std::fflush(stdout);
}

void expect(Line& line, const Expectations& expectations)
{
    const std::string* reason = expectations.reason(line.rule->name);
    if (!reason)
        return;
    if (line.outcome == "failed" || line.outcome == "not-run")
        line.outcome = "known";
    else if (line.outcome == "passed")
        line.outcome = "unexpected-pass";
    else
        return;
    line.said.push_back((expectations.must_not_run(line.rule->name) ? "known failure, not run: "
                                                                    : "known failure: ") +
                        *reason);
}

/// One worker, from rule \p next on. Returns the rule to go on with, or nothing when all have run.
template<typename Report>
std::optional<std::size_t> run_one_worker(const Options& options, std::size_t next,
                                          const Report& report)
{
    std::vector<std::string> arguments{"--worker", std::to_string(next), "--timeout",
                                       std::to_string(rule_timeout_seconds)};
    for (const std::string& each : options.patterns)
        arguments.insert(arguments.end(), {"--rule", each});
    if (options.expect)
        arguments.insert(arguments.end(), {"--expect", *options.expect});

    std::optional<Line> running;
    std::size_t index = next;
    bool done = false;
    const std::string end = run_self(arguments, [&](const std::string& text) {
        std::istringstream words(text);
        std::string word;
        words >> word;
        if (word == "@begin" && words >> index) {
            running = Line{&rules().at(index), "failed", 0, {}};
        } else if (word == "@end" && running) {
            words >> index >> running->outcome >> running->milliseconds;
            report(*running);
            running.reset();
        } else if (word == "@done") {
            done = true;
        } else if (running) {
            running->said.push_back(text.starts_with("| ") ? text.substr(2) : text);
        }
    });
    if (running) {
        const bool hung = end == "exit status " + std::to_string(exit_code_hang);
        running->said.push_back(
            hung ? "did not end within " + std::to_string(rule_timeout_seconds) + " seconds"
                 : "ended its process: " + (end.empty() ? "exit status 0" : end));
        report(*running);
        return index + 1;
    }
    if (!done)
        throw std::runtime_error("the worker ended outside a rule: " +
                                 (end.empty() ? "exit status 0" : end));
    return std::nullopt;
}

template<typename Report>
void run_in_process(const std::vector<std::string>& patterns, const Report& report)
{
    for (const Rule& rule : rules()) {
        if (!selected(rule, patterns))
            continue;
        std::printf("      %s ...\n", rule.name);
        std::fflush(stdout);
        const Result result = run_rule(rule);
        Line line{&rule, "", result.milliseconds, {}};
        line.outcome = outcome_word(result.outcome);
        report(line);
    }
}

std::string quoted(const std::string& text)
{
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\')
            out += '\\';
        if (static_cast<unsigned char>(c) < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
            out += escape;
        } else {
            out += c;
        }
    }
    return out + "\"";
}

std::string json(const Line& line)
{
    std::string said;
    for (const std::string& each : line.said)
        said += (said.empty() ? "" : ", ") + quoted(each);
    return "    {\"name\": " + quoted(line.rule->name) +
           ", \"source\": " + quoted(line.rule->source) + ", \"outcome\": " + quoted(line.outcome) +
           ", \"time_ms\": " + std::to_string(line.milliseconds) + ", \"said\": [" + said + "]}";
}

struct Counts {
    unsigned passed = 0, failed = 0, skipped = 0, not_applicable = 0, todo = 0, known = 0;

    void add(const std::string& outcome)
    {
        if (outcome == "passed")
            ++passed;
        else if (outcome == "skipped")
            ++skipped;
        else if (outcome == "not-applicable")
            ++not_applicable;
        else if (outcome == "todo")
            ++todo;
        else if (outcome == "known")
            ++known;
        else
            ++failed;
    }
};

Expectations read_expectations(const Options& options)
{
    try {
        return options.expect ? Expectations::read(*options.expect) : Expectations{};
    } catch (const std::exception& e) {
        bad_usage(e.what());
    }
}

int run(const Options& options)
{
    const Expectations expectations = read_expectations(options);
    std::vector<Line> lines;
    Counts counts;
    const auto report = [&](Line line) {
        expect(line, expectations);
        counts.add(line.outcome);
        if (!options.json)
            print(line);
        lines.push_back(std::move(line));
    };

    if (options.in_process)
        run_in_process(options.patterns, report);
    else
        for (std::optional<std::size_t> next = 0; next;)
            next = run_one_worker(options, *next, report);

    if (lines.empty())
        bad_usage("no rule matches");

    if (options.json) {
        std::printf("{\n  \"schema\": \"writewatch.conformance/1\",\n  \"platform\": %s,\n"
                    "  \"rules\": [\n",
                    quoted(platform_name()).c_str());
        for (std::size_t i = 0; i < lines.size(); ++i)
            std::printf("%s%s\n", json(lines[i]).c_str(), i + 1 < lines.size() ? "," : "");
        std::printf("  ],\n  \"passed\": %u, \"failed\": %u, \"skipped\": %u, "
                    "\"not_applicable\": %u, \"todo\": %u, \"known_failures\": %u\n}\n",
                    counts.passed, counts.failed, counts.skipped, counts.not_applicable,
                    counts.todo, counts.known);
    } else {
        std::printf("%s: %u passed, %u failed, %u skipped (%u known failures, %u not applicable, "
                    "%u todo)\n",
                    platform_name().c_str(), counts.passed, counts.failed, counts.skipped,
                    counts.known, counts.not_applicable, counts.todo);
    }
    return counts.failed ? exit_failed : exit_passed;
}

} // namespace

int main(int argc, char** argv)
{
    // Some rules need a second process: this program, in a role.
    if (const std::optional<int> role = play_role(argc, argv))
        return *role;

    const Options options = parse(argc, argv);
    if (options.worker)
        run_worker(options.patterns, *options.worker, read_expectations(options));

    if (options.list) {
        for (const Rule& rule : rules())
            std::printf("%-60s %s\n", rule.name,
                        rule.body
                            ? rule.source
                            : (std::string("not applicable: ") + rule.not_applicable).c_str());
        return exit_passed;
    }

    if (!available()) {
        const DWORD error = GetLastError();
        const bool skip_this = may_be_unavailable(error);
        std::fprintf(stderr,
                     "conformance: %s: VirtualAlloc with MEM_WRITE_WATCH fails with error %lu\n",
                     skip_this ? "skipped" : "failed", static_cast<unsigned long>(error));
        return skip_this ? exit_skipped : exit_failed;
    }

    try {
        return run(options);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "conformance: %s\n", e.what());
        return exit_failed;
    }
}
