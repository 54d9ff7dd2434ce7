# SPDX-License-Identifier: LGPL-2.1-or-later
"""Why a target can be missed, by its statement: what was found when it was looked into (docs/performance.md).

The figures in here are of the machine named there; those of the run at hand stand beside them in the report."""

REASONS = {
    "get, get+reset, reset of a region at most 1.05× the bare ioctl loop, at every share":
        "the library's code per call and per run is under 5 %; what is above it is noise of the machine",
    "a single-page get at most 120 ns over its bare ioctl":
        "656 instructions, straight after a system call that has pushed them out of the caches; the same binary varies "
        "by 30 ns between two starts, with where it is loaded",
    "at 30,000 regions at most 40 ns more over the bare ioctl than at 1":
        "a region's entry in the table and its counters in the registry are cache lines of their own, cold at random calls, the "
        "more so when other peers' 30,000 regions are asked about in between: alone 100 to 120 ns, with `WRITEWATCH_REGISTRY=0` "
        "25 to 55 ns. Fetching the counters early gained nothing",
    "first write at least 1.6× faster than with eager arming": "level with the target: 1.57 to 1.66× in other runs",
    "get and get+reset at most 1.05× eager arming when idle and from 10 % on":
        "about 1.3 µs a call whatever its size, which an idle get of a small region shows; level at 65,536 pages",
    "and with clustered dirt faster":
        "level, not faster: what is known to be armed takes the fast path that eager arming takes, over the same page tables",
    "writes at least 5× faster than with mprotect":
        "the first write to a page is a page fault that clears memory with every peer, 1.8 µs; writes after a reset are "
        "above it",
    "sparse get+reset at least 10× faster (scattered, up to 25 %)":
        "with 1 page in 1,000 there are few protections to restore, and the kernel's walk is paid for every page",
    "no pattern slower than with mprotect":
        "its get reads bytes of its own memory, ours asks the kernel: 0.55 µs a call and 0.75 ns a page are the ioctl's",
    "bdwgc's incremental test under the installed Wine at least 1.5× faster than stock":
        "one run each: others gave 1.35 to 1.8×",
    "the demo's pauses (median) at least 5× shorter":
        "a pause contains Wine's suspension of the threads, which takes its time on a busy machine",
    "8 writers: throughput at most 1.5× below that without a collector, when one asks without a pause":
        "the ninth thread takes its share of two processors, and each reset makes the next write to each page a fault; the "
        "bare ioctl loop loses as much",
    "8 writers: throughput at most 1.5× below that without a collector, when one asks at 60 Hz":
        "each reset makes the next write to each page a fault",
    "at most 128 bytes of resident memory for a watched region":
        "25 are the region table's and 128 the registry's record; the rest is what VirtualAlloc remembers of any "
        "allocation, watched or not",
}
