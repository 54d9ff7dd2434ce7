// SPDX-License-Identifier: LGPL-2.1-or-later
//
// For programs that test what a privileged process does (AT_SECURE): they run a copy of themselves
// that belongs to another user and is set-user-ID, with the word "report".
#pragma once

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
// LeakSanitizer stops its process with ptrace, which a privileged one does not allow; that fails
// the program. (The name is the sanitizer's.)
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" [[gnu::used]] inline const char* __asan_default_options()
{
    return "detect_leaks=0";
}
#endif

namespace writewatch::test {

inline constexpr uid_t nobody = 65534;

// What the copy reports about itself, as an exit status.
inline constexpr int ordinary = 10;
inline constexpr int privileged = 11;

// Runs the program with "report"; prepare() in the child before. -1: it did not end by itself.
template<typename Prepare> int run_report(const char* program, Prepare prepare)
{
    const pid_t child = fork();
    if (child == 0) {
        prepare();
        execl(program, program, "report", nullptr);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

inline bool copy_self_to(int target)
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
    close(source);
    return true;
}

// The whole test: this program must report `ordinary`, its set-user-ID copy `privileged`. Returns
// the exit status: 77 where there are no such programs.
template<typename Prepare> int compare_with_privileged_copy(Prepare prepare)
{
    if (run_report("/proc/self/exe", prepare) != ordinary) {
        std::fprintf(stderr, "FAILED: an ordinary process does not use its environment\n");
        return 1;
    }
    if (geteuid() != 0) {
        std::fprintf(stderr, "skipped: only root can make a set-user-ID copy for somebody else\n");
        return 77;
    }
    char path[] = "/tmp/writewatch-secure-XXXXXX";
    const int copy = mkstemp(path);
    if (copy < 0 || !copy_self_to(copy) || fchown(copy, nobody, nobody) != 0 ||
        fchmod(copy, 04755) != 0) {
        std::perror("FAILED: set-user-ID copy");
        return 1;
    }
    close(copy);
    const int answer = run_report(path, prepare);
    unlink(path);
    if (answer == ordinary) {
        std::fprintf(stderr, "skipped: /tmp is mounted nosuid\n");
        return 77;
    }
    if (answer != privileged) {
        std::fprintf(stderr, "FAILED: a privileged process uses its environment (%d)\n", answer);
        return 1;
    }
    return 0;
}

} // namespace writewatch::test
