#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares write tracking under stock Wine, under Wine with writewatch, and natively.

Runs wine-rotate in each of them, interleaved in random order, and prints medians and ratios in one
table. A variant that cannot run here is left out, with the reason."""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys

# The bounds, for the "spread" pattern: stock divided by writewatch.
WRITE_BOUND = 6.0
GET_RESET_BOUND = 20.0
ALTERNATE_BOUND_S = 3.0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exe", help="wine-rotate.exe")
    parser.add_argument("--native", help="wine-rotate built against libwritewatch-win32")
    parser.add_argument("--writewatch", help="the writewatch command")
    parser.add_argument("--wine", default="wine", help="Wine's loader (%(default)s)")
    parser.add_argument("--mib", type=int, default=256, help="region of the rotating pattern (%(default)s)")
    parser.add_argument("--rounds", type=int, default=12, help="rounds in a run (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=5, help="runs of each variant (%(default)s)")
    parser.add_argument("--limit", type=int, default=120,
                        help="seconds that the 1 GiB pattern may take (%(default)s)")
    parser.add_argument("--no-alternate", action="store_true", help="leave the 1 GiB pattern out")
    parser.add_argument("--save", metavar="FILE", help="also write every run's numbers to FILE, as JSON")
    parser.add_argument("--check", action="store_true",
                        help=f"exit 1 unless writes are {WRITE_BOUND:g}x and get+reset {GET_RESET_BOUND:g}x "
                             "faster than stock Wine and the 1 GiB pattern is exact in "
                             f"{ALTERNATE_BOUND_S:g} s; exit 77 when that cannot be measured here")
    return parser.parse_args()


def usable(path):
    return path is not None and os.access(path, os.X_OK)


def find_variants(arguments):
    """The command prefix of each variant that can run, and why the others cannot."""
    variants, missing = {}, {}
    wine = shutil.which(arguments.wine)
    if not wine:
        missing["stock"] = missing["writewatch"] = f"no {arguments.wine}: scripts/setup wine"
    elif not usable(arguments.exe):
        missing["stock"] = missing["writewatch"] = "no wine-rotate.exe: scripts/setup wine, then build again"
    else:
        variants["stock"] = [wine, arguments.exe]
        if usable(arguments.writewatch):
            check = subprocess.run([arguments.writewatch, "check"], capture_output=True, text=True, check=False)
            if check.returncode == 0:
                variants["writewatch"] = [arguments.writewatch, "run", "--", wine, arguments.exe]
            else:
                lines = (check.stdout + check.stderr).strip().splitlines()
                missing["writewatch"] = lines[-1] if lines else f"writewatch check: exit {check.returncode}"
        else:
            missing["writewatch"] = "no writewatch command"
    if usable(arguments.native):
        variants["native"] = [arguments.native]
    else:
        missing["native"] = "no native wine-rotate"
    return variants, missing


def run(command, variant, limit):
    """The program's JSON answer; None when it did not finish in time."""
    environment = dict(os.environ)
    environment.setdefault("WINEDEBUG", "-all")
    environment.setdefault("WINEDLLOVERRIDES", "mscoree,mshtml=")
    if variant == "stock":
        # Whatever the caller's environment preloads: stock is stock.
        environment.pop("LD_PRELOAD", None)
        environment["WRITEWATCH_DISABLE"] = "1"
    # A process group of its own, so that a run that takes too long ends with all it started.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=environment, start_new_session=True)
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    if process.returncode != 0:
        sys.exit(f"compare-wine: {' '.join(command)}: exit {process.returncode}\n{errors}{output}")
    return json.loads(output)


def start_wine(variants, arguments):
    """Makes the prefix and starts wineserver, so that no measured run pays for it."""
    if "stock" in variants:
        run(variants["stock"] + ["alternate", "1"], "stock", 180)


def measure_rotate(variants, arguments):
    results = {variant: [] for variant in variants}
    for _ in range(arguments.repetitions):
        for variant in random.sample(list(variants), len(variants)):
            answer = run(variants[variant] + ["rotate", str(arguments.mib), str(arguments.rounds)], variant, 600)
            if answer is None:
                sys.exit(f"compare-wine: {variant} did not finish the rotating pattern in 600 s")
            results[variant].append(answer)
    return results


def measure_alternate(variants, arguments):
    """The best of three: the question is what it takes, not what else the machine does. Stock gets one try,
    up to the limit."""
    answers = {}
    for variant, command in variants.items():
        tries = [run(command + ["alternate", "1024"], variant, arguments.limit)
                 for _ in range(1 if variant == "stock" else 3)]
        finished = [answer for answer in tries if answer is not None]
        answers[variant] = min(finished, key=lambda answer: answer["total_ns"]) if finished else None
    return answers


KEYS = ("spread_write_ns", "spread_get_reset_ns", "block_write_ns", "block_get_reset_ns")


def medians(results):
    return {variant: {key: statistics.median(answer[key] for answer in answers) for key in KEYS}
            for variant, answers in results.items()}


def print_tables(arguments, middle, alternate, missing):
    pages = (arguments.mib << 20) // 4096
    print(f"{arguments.mib} MiB, each round writes the next quarter ({pages // 4} of {pages} pages); "
          f"medians of {arguments.repetitions} runs")
    print(f"{'':12} {'every 4th page':^37} {'a quarter in one piece':^37}")
    print(f"{'':12} {'write':>9} {'':>8} {'get+reset':>10} {'':>8} {'write':>9} {'':>8} {'get+reset':>10}")
    for variant, values in middle.items():
        cells = []
        for key, scale, unit in zip(KEYS, (1e3, 1e6, 1e3, 1e6), ("us", "ms", "us", "ms")):
            cells.append(f"{values[key] / scale:7.2f} {unit}")
            if "stock" in middle and variant != "stock":
                cells.append(f"{middle['stock'][key] / values[key]:6.1f}x ")
            else:
                cells.append(" " * 8)
        print(f"{variant:12} " + " ".join(cells).rstrip())
    if alternate:
        print(f"\n1 GiB, every second page, then the others; get+reset of {(1 << 30) // 8192} pages, twice")
        for variant, answer in alternate.items():
            if answer is None:
                print(f"{variant:12} not done in {arguments.limit} s")
            else:
                print(f"{variant:12} {answer['total_ns'] / 1e9:.2f} s, exact")
    for variant, reason in missing.items():
        print(f"{variant:12} not measured: {reason}")


def check(middle, alternate, missing):
    if "stock" not in middle or "writewatch" not in middle:
        print(f"compare-wine: cannot compare: {missing}", file=sys.stderr)
        return 77
    status = 0
    for key, bound in (("spread_write_ns", WRITE_BOUND), ("spread_get_reset_ns", GET_RESET_BOUND)):
        ratio = middle["stock"][key] / middle["writewatch"][key]
        if ratio < bound:
            print(f"compare-wine: {key}: {ratio:.1f}x faster than stock, must be {bound:g}x", file=sys.stderr)
            status = 1
    if alternate:
        answer = alternate.get("writewatch")
        if answer is None or answer["total_ns"] > ALTERNATE_BOUND_S * 1e9:
            print(f"compare-wine: 1 GiB pattern not done in {ALTERNATE_BOUND_S:g} s", file=sys.stderr)
            status = 1
    return status


def main():
    arguments = parse_arguments()
    variants, missing = find_variants(arguments)
    start_wine(variants, arguments)
    results = measure_rotate(variants, arguments)
    alternate = {} if arguments.no_alternate else measure_alternate(variants, arguments)
    middle = medians(results)
    if arguments.save:
        with open(arguments.save, "w", encoding="utf-8") as file:
            json.dump({"schema": "writewatch.bench.wine/1", "mib": arguments.mib, "medians": middle,
                       "runs": results, "alternate": alternate, "missing": missing}, file, indent=1)
    print_tables(arguments, middle, alternate, missing)
    return check(middle, alternate, missing) if arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
