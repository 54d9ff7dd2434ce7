#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares write tracking under each Wine, stock and with writewatch, and natively.

Runs the same programs in each of them, interleaved in random order, and prints medians and ratios: wine-rotate
(writes and get+reset of a region), the demo's collector, and bdwgc's own test. The Wines are the installed one
and Debian 13's 10.0 (tests/integration/wine/wine10-root). A variant that cannot run here is left out, with the
reason."""

import argparse
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
RUN_WINDOWS = HERE.parent / "integration/wine/run-windows"
WINE10_ROOT = HERE.parent / "integration/wine/wine10-root"
SKIP = 77

# The first issue's bounds, for the "spread" pattern under the installed Wine: stock divided by writewatch.
WRITE_BOUND = 6.0
GET_RESET_BOUND = 20.0
ALTERNATE_BOUND_S = 3.0

# What each mode runs: {program: (arguments, repetitions)}. Stock Wine does not finish `alternate`: it takes the limit.
MODES = {
    "smoke": {"rotate": (["rotate", "4", "4"], 2), "collector": (["--json", "--heap", "4", "--rounds", "3"], 2)},
    "quick": {
        "rotate": (["rotate", "64", "8"], 2),
        "collector": (["--json", "--heap", "64", "--threads", "2", "--rounds", "10"], 2),
        "bdwgc": ([], 1),
    },
    "full": {
        "rotate": (["rotate", "256", "12"], 3),
        "alternate": (["alternate", "1024"], 1),
        "collector": (["--json", "--heap", "64", "--threads", "2", "--rounds", "20"], 3),
        "bdwgc": ([], 3),
    },
}

# The columns of each program's table: (field, title).
COLUMNS = {
    "rotate": [
        ("spread_write_ns", "write, every 4th"),
        ("spread_get_reset_ns", "get+reset"),
        ("block_write_ns", "write, one piece"),
        ("block_get_reset_ns", "get+reset"),
    ],
    "alternate": [("total_ns", "1 GiB, every 2nd page")],
    "collector": [
        ("total_ns", "collecting"),
        ("pause_p50_ns", "pause p50"),
        ("pause_p99_ns", "p99"),
        ("pause_max_ns", "longest"),
    ],
    "bdwgc": [
        ("total_ns", "total"),
        ("cpu_ns", "CPU time"),
        ("pause_p50_ns", "pause p50"),
        ("pause_p99_ns", "p99"),
        ("pause_max_ns", "longest"),
    ],
}
TITLES = {
    "rotate": "each round writes the next quarter of a region's pages and takes them",
    "alternate": "1 GiB, every 2nd page, then the others; all pages taken twice",
    "collector": "the demo's incremental collector",
    "bdwgc": "bdwgc's own test, incremental",
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=MODES, default="quick")
    parser.add_argument("--build", required=True, help="the build directory")
    parser.add_argument("--program", action="append", choices=COLUMNS, help="only this one; may be repeated")
    parser.add_argument("--variant", action="append", help="only this one; may be repeated")
    parser.add_argument("--repetitions", type=int, help="runs of each program and variant")
    parser.add_argument("--limit", type=int, default=60, help="seconds that a run may take (%(default)s)")
    parser.add_argument("--prefix", help="the Wine prefix (default: bench-prefix in the build directory)")
    parser.add_argument("--save", metavar="FILE", help="also write every run's numbers to FILE, as JSON")
    parser.add_argument("--check", action="store_true",
                        help=f"exit 1 unless writes are {WRITE_BOUND:g}x and get+reset {GET_RESET_BOUND:g}x "
                             "faster than stock Wine; exit 77 when that cannot be measured here")
    return parser.parse_args()


class Failed(Exception):
    pass


def execute(command, limit):
    """Standard output; None when it did not end in time."""
    # A group of its own, so that a run that takes too long ends with all it started.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 15)
        process.communicate()
        return None
    if process.returncode in (124, 137):
        return None
    if process.returncode == SKIP:
        raise LookupError((errors.strip().splitlines() or ["skipped"])[-1])
    if process.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: exit {process.returncode}\n{errors}{output}")
    return output


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.build = pathlib.Path(arguments.build).resolve()
        self.prefix = pathlib.Path(arguments.prefix or self.build / "bench-prefix").resolve()
        preload = self.build / "wine-integration/libwritewatch-wine.so"
        active = ["--preload", preload, "--expect-active"]
        wine10 = ["--root", WINE10_ROOT]
        self.variants = {
            "wine-stock": [],
            "wine-writewatch": active,
            "wine10-stock": wine10,
            "wine10-writewatch": wine10 + active,
            "native": None,
        }
        if arguments.variant:
            self.variants = {name: self.variants[name] for name in arguments.variant}
        self.missing = {}  # variant: reason
        self.missing_programs = {}

    def program(self, name, native):
        """The file, or None where there is none for this kind of variant."""
        files = {
            ("rotate", True): "tests/bench/wine-rotate",
            ("rotate", False): "tests/bench/wine-rotate.exe",
            ("collector", True): "shim/demo/collector",
            ("collector", False): "shim/demo/collector.exe",
            ("bdwgc", False): "bdwgc/gctest.exe",
        }
        file = files.get(("rotate" if name == "alternate" else name, native))
        return self.build / file if file and (self.build / file).exists() else None

    def command(self, variant, program, words):
        file = self.program(program, variant == "native")
        if file is None:
            return None
        if variant == "native":
            return [file, *words]
        return [RUN_WINDOWS, *self.variants[variant], "--prefix", self.prefix,
                "--timeout", str(self.arguments.limit), "--", file, *words]

    def run(self, variant, program, words):
        """The program's own numbers; None when it did not finish in time."""
        command = self.command(variant, program, words)
        output = execute([str(word) for word in command], self.arguments.limit + 60)
        if output is None:
            return None
        answer = json.loads(output[output.index("{"):output.rindex("}") + 1])
        for right in ("exact", "snapshot_equal", "write_watch"):
            if answer.get(right) is False:
                raise Failed(f"{program} under {variant}: its answers are not right ({right}): {answer}")
        return answer

    def warm_up(self):
        """Makes the prefixes, and finds out what can run here."""
        for variant in list(self.variants):
            try:
                if self.command(variant, "rotate", []) is None:
                    raise LookupError("not built (scripts/setup wine, then build again)")
                self.run(variant, "rotate", ["alternate", "1"])
            except LookupError as reason:
                self.missing[variant] = str(reason).removeprefix("skipped: ")
                del self.variants[variant]

    def versions(self):
        """The Wines' versions, {"wine": "8.0", "wine10": "10.0"}; that of the other root by its package, since a
        Wine runs in there only with all that run-windows prepares."""
        found = {}
        if "wine-stock" in self.variants:
            found["wine"] = execute(["wine", "--version"], 60)
        if "wine10-stock" in self.variants:
            packages = execute([str(WINE10_ROOT)], 900).strip() + "/var/lib/dpkg"
            found["wine10"] = execute(["dpkg-query", "--admindir=" + packages, "-W", "-f", "${Version}", "wine"], 60)
        return {name: re.search(r"[0-9]+(\.[0-9]+)*", version)[0] for name, version in found.items()}

    def build_bdwgc(self):
        try:
            execute([str(HERE / "bdwgc/build"), str(self.build / "bdwgc")], 600)
        except LookupError as reason:
            self.missing_programs["bdwgc"] = str(reason).removeprefix("skipped: ")
            return False
        return True

    def measure(self, program, words, repetitions):
        """{variant: [answers]}; None for a run that did not finish, after which the variant is not run again."""
        results = {variant: [] for variant in self.variants if self.command(variant, program, words)}
        for _ in range(repetitions):
            for variant in random.sample(list(results), len(results)):
                if None not in results[variant]:
                    results[variant].append(self.run(variant, program, words))
                    print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return results


def duration(ns):
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= scale:
            return f"{ns / scale:.2f} {unit}"
    return f"{ns:.0f} ns"


def medians(answers, program):
    finished = [answer for answer in answers if answer is not None]
    if not finished:
        return None
    return {field: statistics.median(answer[field] for answer in finished) for field, _ in COLUMNS[program]}


def print_tables(document):
    for program, results in document["programs"].items():
        print(f"\n{program}: {TITLES[program]}")
        print(f"{'':18}" + "".join(f"{title:>24}" for _, title in COLUMNS[program]))
        middle = {variant: medians(answers, program) for variant, answers in results.items()}
        for variant, values in middle.items():
            if values is None:
                print(f"{variant:18} not done in {document['limit_s']} s")
                continue
            stock = middle.get(variant.replace("writewatch", "stock").replace("native", "wine-stock"))
            cells = []
            for field, _ in COLUMNS[program]:
                cell = duration(values[field])
                if stock and not variant.endswith("stock") and values[field]:
                    cell += f" {stock[field] / values[field]:6.2f}x"
                cells.append(f"{cell:>24}")
            print(f"{variant:18}" + "".join(cells))
    for what, reason in {**document["missing"], **document["missing_programs"]}.items():
        print(f"{what:18} not measured: {reason}")


def check(document):
    middle = {variant: medians(answers, "rotate")
              for variant, answers in document["programs"].get("rotate", {}).items()}
    if not middle.get("wine-stock") or not middle.get("wine-writewatch"):
        print(f"compare-wine: cannot compare: {document['missing']}", file=sys.stderr)
        return SKIP
    status = 0
    for key, bound in (("spread_write_ns", WRITE_BOUND), ("spread_get_reset_ns", GET_RESET_BOUND)):
        ratio = middle["wine-stock"][key] / middle["wine-writewatch"][key]
        if ratio < bound:
            print(f"compare-wine: {key}: {ratio:.1f}x faster than stock, must be {bound:g}x", file=sys.stderr)
            status = 1
    for answer in document["programs"].get("alternate", {}).get("wine-writewatch", []):
        if answer is None or answer["total_ns"] > ALTERNATE_BOUND_S * 1e9:
            print(f"compare-wine: 1 GiB pattern not done in {ALTERNATE_BOUND_S:g} s", file=sys.stderr)
            status = 1
    return status


def main():
    arguments = parse_arguments()
    bench = Bench(arguments)
    bench.warm_up()
    programs = MODES[arguments.mode]
    if arguments.program:
        programs = {name: MODES["full" if name not in programs else arguments.mode][name]
                    for name in arguments.program}
    results = {}
    for program, (words, repetitions) in programs.items():
        if program == "bdwgc" and not bench.build_bdwgc():
            continue
        print(program, end=" ", file=sys.stderr, flush=True)
        try:
            results[program] = bench.measure(program, words, arguments.repetitions or repetitions)
        except Failed as failure:
            # The others are worth keeping; the report names this one.
            print(f"\ncompare-wine: {failure}", file=sys.stderr)
            bench.missing_programs[program] = "failed: " + str(failure).splitlines()[0]
    document = {"schema": "writewatch.bench.wine/2", "mode": arguments.mode, "limit_s": arguments.limit, "versions": bench.versions(),
                "programs": results, "missing": bench.missing, "missing_programs": bench.missing_programs,
                "arguments": {program: words for program, (words, _) in programs.items()}}
    if arguments.save:
        with open(arguments.save, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
    print_tables(document)
    return check(document) if arguments.check else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit(f"compare-wine: {failure}")
