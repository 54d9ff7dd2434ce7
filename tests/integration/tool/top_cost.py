#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `writewatch top` does to the program it looks at: the bundled collector under Wine, runs with and
without top in turn, in random order. Says by how much the program's time per get changes."""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from subject import clean_environment, run
from top_screen import OPTIONS as TOP_OPTIONS, Top


def collect(arguments, prefix):
    """One run of the collector: what it printed."""
    command = [arguments.command, "run", "--", "wine", arguments.collector, "--json", "--heap", str(arguments.heap),
               "--rounds", str(arguments.rounds)]
    if not arguments.collector.endswith(".exe"):
        command = [arguments.collector, *command[5:]]
    result = subprocess.run(command, env=clean_environment(WINEPREFIX=prefix, WINEDEBUG="-all", DISPLAY=""),
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                            universal_newlines=True, timeout=300, check=True)
    return json.loads(result.stdout)


def looked_at(arguments, prefix):
    """The same with top on a terminal of its own."""
    top = Top("--interval", arguments.interval)
    ended = threading.Event()
    seen = []

    def look():
        while not ended.is_set():
            top.read(0.2)
            if not seen and "pages written now" in top.text():
                seen.append(True)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        time.sleep(0.3)
        return collect(arguments, prefix)
    finally:
        ended.set()
        reader.join()
        top.close()
        if not seen:
            raise AssertionError("top never showed a region:\n" + top.text())


def report(name, without, with_top):
    base, changed = statistics.median(without), statistics.median(with_top)
    spread = statistics.median(abs(value - base) for value in without) / base * 100
    print("%-22s %12.1f %12.1f %+8.2f %%   (median deviation without top: %.2f %%)" % (
        name, base, changed, (changed / base - 1) * 100, spread))
    return abs(changed / base - 1), spread / 100


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", required=True, help="the writewatch command")
    parser.add_argument("--collector", required=True, help="the demo: collector.exe, or the native program")
    parser.add_argument("--repetitions", type=int, default=15, help="runs of each kind")
    parser.add_argument("--heap", type=int, default=64, help="MiB")
    parser.add_argument("--rounds", type=int, default=300, help="collections in a run")
    parser.add_argument("--interval", type=float, default=0.5, help="top's")
    parser.add_argument("--prefix", help="a Wine prefix (default: one of its own)")
    arguments = parser.parse_args()
    TOP_OPTIONS.command = arguments.command
    if run(arguments.command, "check").returncode != 0 or (arguments.collector.endswith(".exe") and not shutil.which("wine")):
        print("skipped: needs pagemap-scan, and wine for a Windows program", file=sys.stderr)
        return 77
    prefix = arguments.prefix or tempfile.mkdtemp(prefix="writewatch-top-cost-")
    try:
        collect(arguments, prefix) # the prefix is made, files are read
        results = {False: [], True: []}
        for _ in range(arguments.repetitions):
            for with_top in random.sample([False, True], 2):
                results[with_top].append((looked_at if with_top else collect)(arguments, prefix))
    finally:
        if arguments.collector.endswith(".exe"):
            subprocess.run(["wineserver", "-k"], env={**os.environ, "WINEPREFIX": prefix}, check=False)
        if not arguments.prefix:
            shutil.rmtree(prefix)
    print("%-22s %12s %12s" % ("ns (medians)", "without top", "with top"))
    changes = {name: report(name, [r[field] for r in results[False]], [r[field] for r in results[True]])
               for name, field in [("a get with reset", "get_reset_ns"), ("a write", "write_ns"),
                                   ("a pause", "pause_p50_ns"), ("the whole", "total_ns")]}
    change, noise = changes["a get with reset"]
    if change > max(0.01, noise):
        print("a get's time changed by more than 1 %, and by more than the noise")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
