// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A test that runs itself with mistakes planted around the library: it must find each.
#pragma once

#include <cstdio>
#include <initializer_list>
#include <sys/wait.h>
#include <unistd.h>

namespace stress {

struct Planted {
    const char* name;
    int status; // that the test must end with
};

// The exit status of the self-test.
inline int find_planted(std::initializer_list<Planted> mistakes)
{
    for (const Planted& mistake : mistakes) {
        const pid_t child = fork();
        if (child == 0) {
            execl("/proc/self/exe", "self-test", "--plant", mistake.name,
                  static_cast<char*>(nullptr));
            _exit(127);
        }
        int status = 0;
        waitpid(child, &status, 0);
        const int ended = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        if (ended == 77)
            return 77;
        if (ended != mistake.status) {
            std::fprintf(stderr, "FAILED: with '%s' planted it ends with %d instead of %d\n",
                         mistake.name, ended, mistake.status);
            return 1;
        }
    }
    std::puts("the planted mistakes were found");
    return 0;
}

} // namespace stress
