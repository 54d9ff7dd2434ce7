// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A page with MADV_WIPEONFORK reads as zero in the child of every kind of fork, the raw system call
// included, which no atfork handler sees; a thread or a vfork shares the memory and keeps it.
#include "support.h"

#include <csignal>
#include <sched.h>

using namespace kerneltest;

int main()
{
    const Memory page(1);
    page.advise(MADV_WIPEONFORK);
    page.write(0, 1);

    in_child([&] { CHECK_EQ(page.read(0), 0); });
    CHECK_EQ(page.read(0), 1);

    std::fflush(nullptr);
    const long child = syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (child == 0)
        _exit(page.read(0) == 0 ? 0 : 1);
    int status = 1;
    CHECK(waitpid(static_cast<pid_t>(child), &status, 0) == child && status == 0);

    // The mark is inherited: a grandchild is detected as well.
    in_child([&] {
        page.write(0, 2);
        in_child([&] { CHECK_EQ(page.read(0), 0); });
        CHECK_EQ(page.read(0), 2);
    });
    return finish();
}
