// SPDX-License-Identifier: LGPL-2.1-or-later
//
// recv(2) into clean pages is a write, on stream and datagram sockets.
#include "support.h"

#include <sys/socket.h>

using namespace kerneltest;

int main()
{
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
        int fds[2];
        if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0)
            skip("socketpair: %s", std::strerror(errno));
        expect_write_is_reported([&](char* page) {
            CHECK_EQ(send(fds[1], "abcd", 4, 0), 4);
            CHECK_EQ(recv(fds[0], page, page_size, 0), 4);
        });
    }
    return finish();
}
