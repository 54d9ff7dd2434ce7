// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A kernel without PAGEMAP_SCAN says so with one of two errno values (ENOTTY: pagemap has no ioctl
// at all, as before 6.7; EINVAL: it has, but does not know this number), and never pretends. Runs
// on every kernel: an ioctl number that nobody uses stands in where PAGEMAP_SCAN exists.
#include "support.h"

using namespace kerneltest;

int main()
{
    const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0)
        die("/proc/self/pagemap");
    PmScanArg arg = scan_arg(nullptr, 0, plain);
    const int known = ioctl(pagemap, pagemap_scan_request, &arg);
    const int known_errno = errno;
    const int unknown = ioctl(pagemap, _IOWR('f', 99, PmScanArg), &arg);
    const int unknown_errno = errno;

    CHECK_EQ(unknown, -1);
    if (known == 0) {
        note("PAGEMAP_SCAN is here; an unknown request is errno %d", unknown_errno);
        CHECK(unknown_errno == EINVAL || unknown_errno == ENOTTY);
    } else {
        note("PAGEMAP_SCAN is not here: errno %d", known_errno);
        CHECK(known_errno == EINVAL || known_errno == ENOTTY);
        CHECK_EQ(unknown_errno, known_errno);
        CHECK(!is_required("pagemap-scan"));
    }
    return finish();
}
