// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Why shared mappings (memfd, files) are armed eagerly: a page dropped from the page table keeps
// its content, so the qualified scan *loses* a write there; and a read maps a real page, so it
// reports what nobody wrote. Neither can happen to private anonymous memory.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const int fd = memfd_create("writewatch-test", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 4 * page_size) != 0)
        skip("memfd_create: %s", std::strerror(errno));
    const Memory memory(4, page_size, MAP_SHARED, fd);
    tracker.watch(memory);

    memory.write(1, 7);
    CHECK_PAGES(tracker.get(memory), {1});
    memory.advise(MADV_DONTNEED, 1, 1);
    CHECK_EQ(memory.read(2), 0);
    const Pages found = tracker.get(memory);
    note("page 1 written and dropped from the table, page 2 read: the qualified scan reports %s",
         to_string(found).c_str());
    CHECK(found.empty() || found == Pages{2}); // 1 is lost
    CHECK_EQ(memory.read(1), 7);               // although its content is there
    return finish();
}
