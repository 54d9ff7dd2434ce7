// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A forked child can write to a private hugetlb page that was armed in the parent. On 6.1 without
// our series its first write never ends: the protection is copied, the registration is not, and the
// fault handler waits for somebody to resolve it. Arms by plain userfaultfd, so that it runs there.
#include "tests/vm/guest.h"

#include <csignal>

using namespace guesttest;

int main()
{
    set_until_exit("/proc/sys/vm/nr_hugepages", "4");
    const Memory memory(pages_per_huge_page, huge_page_size,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
    memory.write(0, 1);

    const int uffd = open_userfaultfd(O_CLOEXEC);
    uffdio_api api{};
    api.api = UFFD_API;
    uffdio_register registration{};
    registration.range.start = reinterpret_cast<std::uintptr_t>(memory.start());
    registration.range.len = memory.size();
    registration.mode = UFFDIO_REGISTER_MODE_WP;
    uffdio_writeprotect protection{};
    protection.range = registration.range;
    protection.mode = UFFDIO_WRITEPROTECT_MODE_WP;
    if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) != 0 ||
        ioctl(uffd, UFFDIO_REGISTER, &registration) != 0 ||
        ioctl(uffd, UFFDIO_WRITEPROTECT, &protection) != 0)
        skip("userfaultfd write protection of hugetlb: %s", std::strerror(errno));

    in_child([&memory] {
        alarm(10); // The fault can be interrupted.
        memory.write(0, 2);
        CHECK_EQ(memory.read(0), 2);
    });
    CHECK_EQ(memory.read(0), 1);
    return finish();
}
