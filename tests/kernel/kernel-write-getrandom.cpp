// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Data that the kernel makes itself (getrandom, clock_gettime by system call, getcwd) is a write as
// any other copy to user memory is.
#include "support.h"

#include <ctime>
#include <sys/random.h>

using namespace kerneltest;

int main()
{
    expect_write_is_reported([](char* page) { CHECK_EQ(getrandom(page, 16, 0), 16); });
    expect_write_is_reported(
        [](char* page) { CHECK_EQ(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, page), 0); });
    expect_write_is_reported([](char* page) { CHECK(syscall(SYS_getcwd, page, page_size) > 0); });
    return finish();
}
