// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A write through /proc/self/mem is a write, also where the mapping itself is read-only.
#include "support.h"

using namespace kerneltest;

int main()
{
    const int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    if (mem < 0)
        skip("/proc/self/mem: %s", std::strerror(errno));
    const auto write_through_mem = [&](char* page) {
        const ssize_t written = pwrite(mem, "abcd", 4, reinterpret_cast<off_t>(page));
        if (written < 0 && (errno == EPERM || errno == EIO))
            skip("writing /proc/self/mem: %s", std::strerror(errno));
        CHECK_EQ(written, 4);
    };
    expect_write_is_reported(write_through_mem);
    expect_write_is_reported([&](char* page) {
        CHECK_EQ(mprotect(page, page_size, PROT_READ), 0);
        const ssize_t written = pwrite(mem, "abcd", 4, reinterpret_cast<off_t>(page));
        CHECK_EQ(mprotect(page, page_size, PROT_READ | PROT_WRITE), 0);
        if (written < 0) { // refused (proc_mem.force_override): then a plain write will do
            note("/proc/self/mem refuses read-only mappings: %s", std::strerror(errno));
            write_through_mem(page);
        }
    });
    return finish();
}
