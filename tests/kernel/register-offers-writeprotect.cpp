// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A registration answers with the set of requests that the range takes. _UFFDIO_WRITEPROTECT is a
// *number*: the bit is 1 << _UFFDIO_WRITEPROTECT (6). Testing `ioctls & _UFFDIO_WRITEPROTECT` tests
// COPY and WAKE instead, and is true where write-protection is not offered.
#include "support.h"

using namespace kerneltest;

int main()
{
    const Tracker tracker;
    const Memory memory(1);
    uffdio_register request{};
    request.range.start = reinterpret_cast<std::uintptr_t>(memory.start());
    request.range.len = memory.size();
    request.mode = UFFDIO_REGISTER_MODE_WP;
    CHECK_EQ(ioctl(tracker.userfaultfd(), UFFDIO_REGISTER, &request), 0);
    CHECK((request.ioctls & (1ULL << _UFFDIO_WRITEPROTECT)) != 0);
    note("ioctls 0x%llx", static_cast<unsigned long long>(request.ioctls));
    return finish();
}
