// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Signals do not end a scan early: only a fatal one answers EINTR. A collector that suspends its
// threads by signals in a tight sequence gets whole answers.
#include "support.h"

#include <csignal>
#include <sys/time.h>

using namespace kerneltest;

namespace {

volatile std::sig_atomic_t signals = 0;

void count_signal(int)
{
    signals = signals + 1;
}

} // namespace

int main()
{
    const Tracker tracker;
    const Memory memory(16384);
    memory.advise(MADV_NOHUGEPAGE);
    tracker.watch(memory);
    memory.write_all();

    struct sigaction action = {};
    action.sa_handler = count_signal; // without SA_RESTART
    sigaction(SIGALRM, &action, nullptr);
    const itimerval every_100us = {{0, 100}, {0, 100}};
    setitimer(ITIMER_REAL, &every_100us, nullptr);
    PageRegion vec[512];
    std::size_t scans = 0;
    while (signals < 2000) {
        PmScanArg arg = scan_arg(memory.start(), memory.size(), qualified);
        set_vec(arg, vec, 512);
        CHECK_EQ(tracker.scan(arg), 1);
        CHECK_EQ(arg.walk_end, arg.end);
        ++scans;
    }
    const itimerval off = {};
    setitimer(ITIMER_REAL, &off, nullptr);
    note("%zu whole scans through 2000 signals", scans);
    return finish();
}
