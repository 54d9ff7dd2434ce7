// SPDX-License-Identifier: LGPL-2.1-or-later
//
// WP_ASYNC resolves faults in the kernel: no message is ever queued, no thread has to answer, a
// writer is never stopped. (With the synchronous mode each first write waits for a handler.)
#include "support.h"

#include <poll.h>

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(64);
    tracker.watch(memory);
    for (int round = 0; round < 3; ++round) {
        memory.write_all();
        CHECK_PAGES(tracker.get_and_reset(memory), (page_range(0, 63)));
    }
    const int flags = fcntl(tracker.userfaultfd(), F_GETFL);
    CHECK_EQ(fcntl(tracker.userfaultfd(), F_SETFL, flags | O_NONBLOCK), 0);
    pollfd poll_fd = {tracker.userfaultfd(), POLLIN, 0};
    CHECK_EQ(poll(&poll_fd, 1, 0), 0);
    uffd_msg message{};
    CHECK_EQ(read(tracker.userfaultfd(), &message, sizeof(message)), -1);
    CHECK_EQ(errno, EAGAIN);
    return finish();
}
