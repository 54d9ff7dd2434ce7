// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Tracking belongs to a mapping, not to the memory behind it: a write through another mapping of
// the same shared page, or by write(2) to its file, is not seen. Watched memory must be written
// through the watched mapping (contract, docs/kernel-interface.md).
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const int fd = memfd_create("writewatch-test", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 2 * page_size) != 0)
        skip("memfd_create: %s", std::strerror(errno));
    const Memory watched(2, page_size, MAP_SHARED, fd);
    const Memory alias(2, page_size, MAP_SHARED, fd);
    tracker.watch(watched);
    tracker.arm(watched);
    alias.write(0, 7);
    CHECK_EQ(pwrite(fd, "x", 1, page_size), 1);
    CHECK_EQ(watched.read(0), 7);
    CHECK_EQ(watched.read(1), 'x');
    const Pages found = tracker.pages(watched, plain);
    note("writes through an alias and the file: %s", to_string(found).c_str());
    watched.write(1);
    CHECK_PAGES(tracker.pages(watched, plain), {1});
    return finish();
}
