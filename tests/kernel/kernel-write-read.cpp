// SPDX-License-Identifier: LGPL-2.1-or-later
//
// read(2) and readv(2) into clean pages are writes, from pipes and from files, and only to the
// pages that were filled.
#include "support.h"

#include <sys/uio.h>

using namespace kerneltest;

int main()
{
    int fds[2];
    if (pipe(fds) != 0)
        die("pipe");
    expect_write_is_reported([&](char* page) {
        CHECK_EQ(write(fds[1], "abcd", 4), 4);
        CHECK_EQ(read(fds[0], page + 100, 4), 4);
    });
    expect_write_is_reported([&](char* page) {
        CHECK_EQ(write(fds[1], "abcd", 4), 4);
        char first[1];
        const iovec parts[2] = {{first, 1}, {page, 3}};
        CHECK_EQ(readv(fds[0], parts, 2), 4);
    });
    const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    expect_write_is_reported(
        [&](char* page) { CHECK_EQ(pread(file, page, page_size, 0), page_size); });

    // A short read touches what it filled, not the rest of the buffer.
    const Tracker tracker;
    const Memory memory(4);
    tracker.watch(memory);
    CHECK_EQ(write(fds[1], "abcd", 4), 4);
    CHECK_EQ(read(fds[0], memory.page(1), 3 * page_size), 4);
    CHECK_PAGES(tracker.get(memory), {1});
    return finish();
}
