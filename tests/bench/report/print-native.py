#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints the native benches' kept results: medians for each peer, and how many times the peer's time
writewatch takes (below 1: writewatch is faster)."""

import argparse
import sys

import results as kept
import text


def describe(parameters):
    return " ".join(f"{key}={value}" for key, value in parameters.items()) or "-"


def print_group(results, group, peers):
    rows = results.rows(group)
    if not rows:
        return
    shown = [peer for peer in peers if any(peer in row for _, row in rows)] or [""]
    print(f"\n{group}")
    width = max(len(describe(parameters)) for parameters, _ in rows)
    print(" " * (width + 2) + "".join(f"{peer:>22}" for peer in shown))
    for parameters, row in rows:
        cells = []
        ours = row.get("writewatch")
        for peer in shown:
            case = row.get(peer)
            if case is None or not case.times:
                cells.append(f"{'left out' if case else '':>22}")
                continue
            cell = text.duration(case.median)
            if ours is not None and ours.times and case is not ours:
                cell += f" {ours.median / case.median:6.2f}x"
            else:
                cell += f" ±{case.spread * 100:4.0f} %"
            cells.append(f"{cell:>22}")
        print(f"  {describe(parameters):{width}}" + "".join(cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", help="where the native-*.json files are")
    parser.add_argument("group", nargs="*", help="only these groups")
    arguments = parser.parse_args()
    results = kept.load_directory(arguments.directory, arguments.group or None)
    if not results.cases:
        sys.exit("print-native: no results in " + arguments.directory)
    for group in dict.fromkeys(case.group for case in results.cases.values()):
        print_group(results, group, kept.PEERS)


if __name__ == "__main__":
    main()
