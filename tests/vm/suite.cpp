// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Runs test programs one after the other inside a guest, where there is no meson: one boot for all
// of them.
//
// Usage: suite [--expect-failure] [--verbose] [--timeout=SECONDS] [--list FILE] [PROGRAM...]
//
// A line of the list is one test; its words are separated by tabs: a suite, a name, a timeout in
// seconds, variables NAME=VALUE, "--", and the command (tests/vm/meson-tests writes such lists).
// Programs given by name are of no suite.
//
// Prints one line per test (ok, not ok, skip) with its time, the output of those that failed or
// skipped (of all with --verbose), a total per suite and one over all. Exit status 0 if all passed
// or skipped; with --expect-failure: if every one failed, for tests that show what a kernel does
// wrong.
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr int skipped = 77;
constexpr int timed_out = -1;

struct Test {
    std::string suite;
    std::string name;
    unsigned timeout;
    std::vector<std::string> variables;
    std::vector<std::string> command;
};

struct Counts {
    unsigned passed = 0;
    unsigned failed = 0;
    unsigned skipped = 0;
};

[[noreturn]] void run_command(const Test& test)
{
    for (const std::string& variable : test.variables) {
        const std::size_t equals = variable.find('=');
        setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), 1);
    }
    std::vector<char*> arguments;
    for (const std::string& word : test.command)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    std::perror(arguments[0]);
    _exit(126);
}

// The exit status; 128 + N for signal N; timed_out.
int run(const Test& test, int output)
{
    const pid_t child = fork();
    if (child < 0) {
        std::perror("fork");
        std::exit(2);
    }
    if (child == 0) {
        setpgid(0, 0);
        dup2(output, STDOUT_FILENO);
        dup2(output, STDERR_FILENO);
        run_command(test);
    }
    setpgid(child, child);
    const auto start = std::chrono::steady_clock::now();
    for (;;) {
        int status = 0;
        if (waitpid(child, &status, WNOHANG) == child) {
            // What it left running must not disturb the next one.
            kill(-child, SIGKILL);
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        if (std::chrono::steady_clock::now() - start > std::chrono::seconds(test.timeout)) {
            kill(-child, SIGKILL);
            waitpid(child, nullptr, 0);
            return timed_out;
        }
        usleep(5000);
    }
}

void print(int output)
{
    char buffer[4096];
    lseek(output, 0, SEEK_SET);
    for (ssize_t n = 0; (n = read(output, buffer, sizeof(buffer))) > 0;)
        std::fwrite(buffer, 1, static_cast<std::size_t>(n), stdout);
}

[[noreturn]] void usage()
{
    std::fprintf(stderr, "usage: suite [--expect-failure] [--verbose] [--timeout=SECONDS] "
                         "[--list FILE] [PROGRAM...]\n");
    std::exit(64);
}

void read_list(const char* path, std::vector<Test>& tests)
{
    std::ifstream file(path);
    if (!file) {
        std::perror(path);
        std::exit(2);
    }
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        Test test{};
        std::string word;
        std::getline(words, test.suite, '\t');
        std::getline(words, test.name, '\t');
        std::getline(words, word, '\t');
        test.timeout = static_cast<unsigned>(std::atoi(word.c_str()));
        while (std::getline(words, word, '\t') && word != "--")
            test.variables.push_back(word);
        while (std::getline(words, word, '\t'))
            test.command.push_back(word);
        if (test.timeout == 0 || test.command.empty()) {
            std::fprintf(stderr, "suite: %s: not a test: %s\n", path, line.c_str());
            std::exit(2);
        }
        tests.push_back(test);
    }
}

void print_counts(const std::string& suite, const Counts& counts)
{
    std::printf("suite%s: %u passed, %u failed, %u skipped\n",
                suite.empty() ? "" : (" " + suite).c_str(), counts.passed, counts.failed,
                counts.skipped);
}

// Runs one test, prints its line and counts it.
void run_one(const Test& test, bool verbose, Counts& counts)
{
    const int output = memfd_create("output", MFD_CLOEXEC);
    const auto start = std::chrono::steady_clock::now();
    const int status = run(test, output);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;

    const char* result = "not ok";
    if (status == 0) {
        ++counts.passed;
        result = "ok";
    } else if (status == skipped) {
        ++counts.skipped;
        result = "skip";
    } else {
        ++counts.failed;
    }
    std::printf("%-6s %s (%.1f s)", result, test.name.c_str(), time.count());
    if (status == timed_out)
        std::printf(" timed out after %u s", test.timeout);
    else if (status != 0 && status != skipped)
        std::printf(" exit status %d", status);
    std::printf("\n");
    if (status != 0 || verbose)
        print(output);
    std::fflush(stdout);
    close(output);
}

} // namespace

int main(int argc, char** argv)
{
    bool expect_failure = false;
    bool verbose = false;
    unsigned timeout = 120;
    std::vector<Test> tests;
    int next = 1;
    for (; next < argc && argv[next][0] == '-'; ++next) {
        const std::string_view option = argv[next];
        if (option == "--expect-failure")
            expect_failure = true;
        else if (option == "--verbose")
            verbose = true;
        else if (option.starts_with("--timeout="))
            timeout = static_cast<unsigned>(std::atoi(std::strchr(argv[next], '=') + 1));
        else if (option == "--list" && next + 1 < argc)
            read_list(argv[++next], tests);
        else
            usage();
    }
    for (; next < argc; ++next) {
        const char* const slash = std::strrchr(argv[next], '/');
        tests.push_back({"", slash != nullptr ? slash + 1 : argv[next], timeout, {}, {argv[next]}});
    }

    std::map<std::string, Counts> by_suite;
    for (const Test& test : tests)
        run_one(test, verbose, by_suite[test.suite]);

    Counts total;
    for (const auto& [suite, counts] : by_suite) {
        if (!suite.empty())
            print_counts(suite, counts);
        total.passed += counts.passed;
        total.failed += counts.failed;
        total.skipped += counts.skipped;
    }
    print_counts("", total);
    if (total.passed + total.failed == 0) {
        std::printf("suite: nothing ran\n");
        return 1;
    }
    return (expect_failure ? total.passed : total.failed) == 0 ? 0 : 1;
}
