#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the library may add to the bare ioctl, with room for a busy machine: the targets proper are in the report.
Runs the suite for two peers and the cases that matter."""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import results as kept

RATIO_BOUND = 1.15  # get+reset from 1 % on
IDLE_BOUND = 0.60  # a get that finds nothing is answered by the kernel's fast path
SINGLE_PAGE_NS_BOUND = 250


def lower_quartile(case):
    """On a busy machine long samples are interrupted ones."""
    return case.quartiles[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite")
    suite = parser.parse_args().suite
    with tempfile.TemporaryDirectory() as directory:
        for group, more in (("matrix", ["--permille", "0,10,250", "--filter", "get_reset/shape:scattered"]),
                            ("single-page", ["--filter", "op:get/"])):
            out = pathlib.Path(directory) / f"native-{group}.json"
            subprocess.run([suite, group, "--pages", "65536", "--repetitions", "15", "--peers", "writewatch,floor",
                            "--out", out, *more], check=True)
        results = kept.load_directory(directory)
    if results.unavailable:
        print(f"skipped: {results.unavailable}", file=sys.stderr)
        return 77
    failed = False
    for parameters, row in results.rows("matrix") + results.rows("single-page"):
        ours, floor = lower_quartile(row["writewatch"]), lower_quartile(row["floor"])
        if "page" in parameters:
            value, bound = ours - floor, SINGLE_PAGE_NS_BOUND
        else:
            value, bound = ours / floor, IDLE_BOUND if parameters["permille"] == 0 else RATIO_BOUND
        good = value <= bound
        failed = failed or not good
        print(f"{row['writewatch']}: {value:.2f}, at most {bound} {'' if good else 'FAILED'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
