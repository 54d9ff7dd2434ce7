// SPDX-License-Identifier: LGPL-2.1-or-later
//
// An O_DIRECT read lets the device write into the page: the page counts as written when it is
// pinned. (A reset that races with the transfer can come before the data, with any mask.)
#include "support.h"

#include <cstdlib>

using namespace kerneltest;

int main()
{
    char path[] = "writewatch-direct-io-XXXXXX"; // in the working directory: /tmp may be a tmpfs
    const int file = mkstemp(path);
    if (file < 0)
        skip("no temporary file in the working directory: %s", std::strerror(errno));
    const std::string text(page_size, 'x');
    CHECK_EQ(write(file, text.data(), text.size()), page_size);
    fsync(file);
    const int direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    const int open_errno = errno;
    unlink(path);
    if (direct < 0)
        skip("O_DIRECT: %s", std::strerror(open_errno));
    expect_write_is_reported([&](char* page) {
        const ssize_t bytes = pread(direct, page, page_size, 0);
        if (bytes < 0)
            skip("O_DIRECT read: %s", std::strerror(errno));
        CHECK_EQ(bytes, page_size);
        CHECK_EQ(page[0], 'x');
    });
    return finish();
}
