// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the KSM tests share: the merging thread at full speed until the program ends, and waiting
// for it. Needs root; other programs' pages are touched only if they asked for merging.
#pragma once

#include "support.h"

#include <sys/prctl.h>

namespace kerneltest {

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67 // Linux 6.4
#endif

inline void run_ksm(bool use_zero_pages)
{
    if (access("/sys/kernel/mm/ksm/run", F_OK) != 0)
        skip("this kernel has no KSM");
    set_until_exit("/sys/kernel/mm/ksm/use_zero_pages", use_zero_pages ? "1" : "0");
    set_until_exit("/sys/kernel/mm/ksm/pages_to_scan", "4000");
    set_until_exit("/sys/kernel/mm/ksm/sleep_millisecs", "1");
    set_until_exit("/sys/kernel/mm/ksm/run", "1");
}

inline std::uint64_t ksm_scans()
{
    std::string text;
    if (!read_file("/sys/kernel/mm/ksm/full_scans", text))
        die("/sys/kernel/mm/ksm/full_scans");
    return std::strtoull(text.c_str(), nullptr, 10);
}

// Lets KSM look at everything a few times, or until `done()`. A page is merged at the second look
// at the earliest, since its content must have stayed the same.
template<typename Done> bool wait_for_ksm(Done done)
{
    const std::uint64_t until = ksm_scans() + 8;
    for (int i = 0; i < 400; ++i) {
        if (done())
            return true;
        if (ksm_scans() >= until)
            return done();
        usleep(10000);
    }
    return done();
}

} // namespace kerneltest
