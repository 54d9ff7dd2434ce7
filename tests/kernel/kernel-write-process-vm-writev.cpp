// SPDX-License-Identifier: LGPL-2.1-or-later
//
// process_vm_writev into clean pages is a write, by this process and by another one. (Not while a
// reset races with it: the kernel pins the page, and a reset between pin and data comes too early.
// Any user of PAGEMAP_SCAN has this; docs/kernel-interface.md.)
#include "support.h"

#include <sys/prctl.h>
#include <sys/uio.h>

using namespace kerneltest;

namespace {

void write_to_process(pid_t process, void* target)
{
    char data[] = "abcd";
    const iovec local = {data, 4};
    const iovec remote = {target, 4};
    const ssize_t written = process_vm_writev(process, &local, 1, &remote, 1, 0);
    if (written < 0 && (errno == ENOSYS || errno == EPERM))
        skip("process_vm_writev: %s", std::strerror(errno));
    CHECK_EQ(written, 4);
}

} // namespace

int main()
{
    expect_write_is_reported([](char* page) { write_to_process(getpid(), page); });

    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); // allows the child where Yama restricts ptrace
    expect_write_is_reported([](char* page) {
        const pid_t parent = getpid();
        in_child([&] { write_to_process(parent, page); });
    });
    return finish();
}
