// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A process that gained privileges at exec (AT_SECURE) takes nothing from its environment. This
// program makes itself set-user-ID and runs itself; without arguments it is the test.
#include "shim/sys/env.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace writewatch;

namespace {

constexpr uid_t nobody = 65534;

// What the copy reports about itself, as an exit status.
constexpr int ordinary = 10;
constexpr int privileged = 11;
constexpr int inconsistent = 12;

int report()
{
    const bool secure = sys::is_privileged_process();
    const auto value = sys::environment("WRITEWATCH_LOG");
    if (!secure && value && *value == "debug" && !sys::environment("WRITEWATCH_EMPTY") &&
        !sys::environment("WRITEWATCH_UNSET"))
        return ordinary;
    return secure && !value ? privileged : inconsistent;
}

int run(const char* program)
{
    const pid_t child = fork();
    if (child == 0) {
        setenv("WRITEWATCH_LOG", "debug", 1);
        setenv("WRITEWATCH_EMPTY", "", 1);
        unsetenv("WRITEWATCH_UNSET");
        execl(program, program, "report", nullptr);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

bool copy_to(int target)
{
    const int source = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat status = {};
    if (source < 0 || fstat(source, &status) != 0)
        return false;
    for (auto left = static_cast<std::size_t>(status.st_size); left > 0;) {
        const ssize_t sent = sendfile(target, source, nullptr, left);
        if (sent <= 0)
            return false;
        left -= static_cast<std::size_t>(sent);
    }
    return true;
}

} // namespace

int main(int argc, char**)
{
    if (argc > 1)
        return report();
    if (run("/proc/self/exe") != ordinary) {
        std::fprintf(stderr, "FAILED: an ordinary process does not read its environment\n");
        return 1;
    }
    if (geteuid() != 0) {
        std::fprintf(stderr, "skipped: only root can make a set-user-ID copy for somebody else\n");
        return 77;
    }
    char path[] = "/tmp/writewatch-secure-XXXXXX";
    const int copy = mkstemp(path);
    if (copy < 0 || !copy_to(copy) || fchown(copy, nobody, nobody) != 0 ||
        fchmod(copy, 04755) != 0) {
        std::perror("FAILED: set-user-ID copy");
        return 1;
    }
    close(copy);
    const int answer = run(path);
    unlink(path);
    if (answer == ordinary) {
        std::fprintf(stderr, "skipped: /tmp is mounted nosuid\n");
        return 77;
    }
    if (answer != privileged) {
        std::fprintf(stderr, "FAILED: a privileged process reads its environment (%d)\n", answer);
        return 1;
    }
    return 0;
}
