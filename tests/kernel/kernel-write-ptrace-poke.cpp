// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A debugger's PTRACE_POKEDATA into clean pages is a write.
#include "support.h"

#include <csignal>
#include <sys/ptrace.h>

using namespace kerneltest;

int main()
{
    { // skip here, not in the child
        const Tracker tracker;
    }
    const Memory shared(1, page_size,
                        MAP_SHARED | MAP_ANONYMOUS); // the child's address of the page
    const pid_t child = fork();
    if (child == 0) {
        failures = 0;
        if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0)
            _exit(77);
        expect_write_is_reported([&](char* page) {
            *reinterpret_cast<char**>(shared.start()) = page;
            raise(SIGSTOP); // the parent pokes now
        });
        _exit(finish());
    }
    int status = 0;
    std::size_t pokes = 0;
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        char* const page = *reinterpret_cast<char**>(shared.start());
        CHECK_EQ(ptrace(PTRACE_POKEDATA, child, page, 0x61626364), 0);
        ++pokes;
        CHECK_EQ(ptrace(PTRACE_CONT, child, nullptr, nullptr), 0);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip("ptrace is not allowed here");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQ(pokes, clean_states);
    return finish();
}
