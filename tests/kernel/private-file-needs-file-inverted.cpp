// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A private file mapping can take the qualified scan with FILE inverted as well: a read maps a page
// of the file (present, "written" because never armed), which FILE excludes; a write copies it, and
// the copy is anonymous memory like any other.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("/proc/self/exe");
    const Memory memory(8, page_size, MAP_PRIVATE, fd);
    tracker.watch(memory);
    constexpr Masks private_file{page_is_pfnzero | page_is_file,
                                 page_is_written | page_is_pfnzero | page_is_file,
                                 page_is_present | page_is_swapped, page_is_written};

    memory.read(1);
    note("a read page of a private file: the mask for anonymous memory reports %s",
         to_string(tracker.get(memory)).c_str());
    CHECK_PAGES(tracker.pages(memory, private_file), {});
    memory.write(1);
    memory.write(4);
    CHECK_PAGES(tracker.pages(memory, private_file, pm_scan_wp_matching), {1, 4});
    CHECK_PAGES(tracker.pages(memory, private_file), {});
    memory.write(4);
    memory.write(5);
    CHECK_PAGES(tracker.pages(memory, private_file), {4, 5});
    memory.advise(MADV_DONTNEED, 4, 1); // back to the file's content
    memory.read(4);
    CHECK_PAGES(tracker.pages(memory, private_file), {5});
    return finish();
}
