// SPDX-License-Identifier: LGPL-2.1-or-later
//
// UFFD_USER_MODE_ONLY is enough, without privilege and with vm.unprivileged_userfaultfd = 0, and
// writes by the kernel on the program's behalf are tracked all the same: with WP_ASYNC no fault is
// ever delivered to user space, so there is nothing that the flag would hold back.
#include "support.h"

#include <sys/prctl.h>

using namespace kerneltest;

namespace {

void read_into_watched_page()
{
    const Tracker tracker; // opened with UFFD_USER_MODE_ONLY
    const Memory memory(2);
    tracker.watch(memory);
    memory.write_all();
    tracker.get_and_reset(memory);
    int pipe_fds[2];
    if (pipe(pipe_fds) != 0 || write(pipe_fds[1], "x", 1) != 1)
        die("pipe");
    CHECK_EQ(read(pipe_fds[0], memory.page(1), 1), 1);
    CHECK_PAGES(tracker.get(memory), {1});
}

} // namespace

int main()
{
    read_into_watched_page();
    if (geteuid() == 0)
        in_child([] {
            constexpr unsigned nobody = 65534;
            if (setresgid(nobody, nobody, nobody) != 0 || setresuid(nobody, nobody, nobody) != 0)
                die("setresuid");
            prctl(PR_SET_DUMPABLE, 1); // a change of user makes /proc/self/pagemap root's
            read_into_watched_page();
        });
    std::string value;
    if (read_file("/proc/sys/vm/unprivileged_userfaultfd", value))
        note("vm.unprivileged_userfaultfd = %c, euid %u", value[0], geteuid());
    return finish();
}
