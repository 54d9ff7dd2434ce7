// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Runs test programs one after the other inside a guest, where there is no meson: one boot for all
// of them. Usage: suite [--expect-failure] [--verbose] [--timeout SECONDS] PROGRAM...
//
// Prints one line per program (ok, not ok, skip) with its time, the output of those that failed or
// skipped (of all with --verbose), and a total. Exit status 0 if all passed or skipped; with
// --expect-failure: if every one failed, for tests that show what a kernel does wrong.
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr int skipped = 77;
constexpr int timed_out = -1;

// The exit status; 128 + N for signal N; timed_out.
int run(char* program, int output, unsigned timeout)
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
        execl(program, program, static_cast<char*>(nullptr));
        std::perror(program);
        _exit(126);
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
        if (std::chrono::steady_clock::now() - start > std::chrono::seconds(timeout)) {
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

} // namespace

int main(int argc, char** argv)
{
    bool expect_failure = false;
    bool verbose = false;
    unsigned timeout = 120;
    int next = 1;
    for (; next < argc && argv[next][0] == '-'; ++next) {
        const std::string_view option = argv[next];
        if (option == "--expect-failure") {
            expect_failure = true;
        } else if (option == "--verbose") {
            verbose = true;
        } else if (option == "--timeout" && next + 1 < argc) {
            timeout = static_cast<unsigned>(std::atoi(argv[++next]));
        } else {
            std::fprintf(
                stderr,
                "usage: suite [--expect-failure] [--verbose] [--timeout SECONDS] PROGRAM...\n");
            return 64;
        }
    }

    unsigned passed = 0;
    unsigned failed = 0;
    unsigned skips = 0;
    for (; next < argc; ++next) {
        const int output = memfd_create("output", MFD_CLOEXEC);
        const auto start = std::chrono::steady_clock::now();
        const int status = run(argv[next], output, timeout);
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;

        const char* result = "not ok";
        if (status == 0) {
            ++passed;
            result = "ok";
        } else if (status == skipped) {
            ++skips;
            result = "skip";
        } else {
            ++failed;
        }
        const char* const slash = std::strrchr(argv[next], '/');
        std::printf("%-6s %s (%.1f s)", result, slash != nullptr ? slash + 1 : argv[next],
                    time.count());
        if (status == timed_out)
            std::printf(" timed out after %u s", timeout);
        else if (status != 0 && status != skipped)
            std::printf(" exit status %d", status);
        std::printf("\n");
        if (status != 0 || verbose)
            print(output);
        std::fflush(stdout);
        close(output);
    }

    std::printf("suite: %u passed, %u failed, %u skipped\n", passed, failed, skips);
    if (passed + failed == 0) {
        std::printf("suite: nothing ran\n");
        return 1;
    }
    return (expect_failure ? passed : failed) == 0 ? 0 : 1;
}
