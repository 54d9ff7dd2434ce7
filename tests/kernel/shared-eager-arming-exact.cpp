// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Shared mappings with eager arming and the plain mask: reads are clean, writes are seen, and
// markers survive when a page is dropped from the page table (a clean page stays clean, a written
// one written).
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const int fd = memfd_create("writewatch-test", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 16 * page_size) != 0)
        skip("memfd_create: %s", std::strerror(errno));
    const Memory memory(16, page_size, MAP_SHARED, fd);
    tracker.watch(memory);
    tracker.arm(memory);
    CHECK_PAGES(tracker.pages(memory, plain), {});

    memory.read(1);
    memory.write(2, 7);
    memory.write(3);
    CHECK_PAGES(tracker.pages(memory, plain), {2, 3});
    memory.advise(MADV_DONTNEED, 1, 2); // 1: clean, 2: written
    CHECK_PAGES(tracker.pages(memory, plain), {2, 3});
    CHECK_PAGES(tracker.pages(memory, plain, pm_scan_wp_matching), {2, 3});
    CHECK_PAGES(tracker.pages(memory, plain), {});
    CHECK_EQ(memory.read(2), 7);
    CHECK_PAGES(tracker.pages(memory, plain), {});

    memory.advise(MADV_DONTNEED, 3, 1); // an armed page dropped: the marker keeps it clean
    CHECK_PAGES(tracker.pages(memory, plain), {});
    memory.write(3);
    memory.write(2);
    CHECK_PAGES(tracker.pages(memory, plain), {2, 3});
    return finish();
}
