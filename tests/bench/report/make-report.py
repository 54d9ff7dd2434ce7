#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the benchmark report (Markdown and SVG plots) from kept results. Nothing in it is written by hand, and
nothing is left out: what was not measured is named with the reason.

Debian's own interpreter, since python3-matplotlib is its module."""

import argparse
import pathlib
import re
import sys

import plots
import results as kept
import reasons
import targets
import text
import wine as wine_results

SECTIONS = ["Targets", "What is compared", "Writes", "Get, get+reset, reset", "Patterns of real clients",
            "Growth of cost", "Threads", "Memory", "Under Wine", "Instructions", "What this does not show"]

# Groups that are tables of their own, with the heading and what a reader should know.
PATTERNS = ["allocation", "single-page", "short-array", "heap-sections", "save-states", "small-resources",
            "reservation", "regions"]


def cell(case, ours):
    if case is None:
        return ""
    if not case.times:
        return "not possible[^%s]" % footnote(case.reason)
    value = text.duration(case.median)
    if ours is not None and ours.times and case is not ours:
        value += f" ({text.ratio(ours.median / case.median)})"
    return value


FOOTNOTES = {}


def footnote(reason):
    """The footnote's name; the same for reasons that differ by numbers only."""
    key = "".join(word for word in reason if not word.isdigit())
    return FOOTNOTES.setdefault(key, (len(FOOTNOTES) + 1, reason))[0]


def table(head, rows, right_from=1):
    lines = ["| " + " | ".join(head) + " |",
             "|" + "|".join("---" if i < right_from else "---:" for i in range(len(head))) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


NAMES = {"permille": lambda v: f"{text.percent_of(v)} written", "kib": lambda v: text.kib(v),
         "mib": lambda v: text.kib(v << 10), "gib": lambda v: text.kib(v << 20), "op": lambda v: v.replace("_", "+"),
         "page": lambda v: f"{v} page", "pages": lambda v: "", "sections": lambda v: f"{v} sections of 16 MiB",
         "resources": lambda v: f"{v:,} resources", "regions": lambda v: f"{v:,} region" + ("s" if v > 1 else ""), "shape": str,
         "untouched_kib": lambda v: text.kib(v) + " untouched", "populated_kib": lambda v: text.kib(v) + " populated"}
OPERATIONS = {"first_write": "first write", "write_after_reset": "write after a reset", "get_page": "get of one page",
              "write_get_reset": "a write, then get+reset", "get_reset": "get+reset"}


def describe(parameters):
    parts = []
    for key, value in parameters.items():
        if key == "op" and value in OPERATIONS:
            parts.append(OPERATIONS[value])
        else:
            parts.append(NAMES.get(key, lambda v, k=key: f"{k} {v}")(value))
    return ", ".join(part for part in parts if part) or "one call"


def merge_rows(rows, key):
    """Rows that only differ by a parameter that the peers were given differently."""
    merged = {}
    for parameters, row in rows:
        rest = {name: value for name, value in parameters.items() if name != key}
        merged.setdefault(tuple(rest.items()), (rest, {}))[1].update(row)
    return list(merged.values())


def peers_of(rows):
    return [peer for peer in kept.PEERS if any(peer in row for _, row in rows)]


def group_table(rows):
    peers = peers_of(rows)
    lines = []
    for parameters, row in rows:
        ours = row.get("writewatch")
        spread = f"±{ours.spread * 100:.0f} %" if ours and ours.times else ""
        lines.append([describe(parameters)] + [cell(row.get(peer), ours) for peer in peers] + [spread])
    return table(["", *peers, "spread"], lines)


class Report:
    def __init__(self, directory, pictures):
        self.directory = pathlib.Path(directory)
        self.results = kept.load_directory(directory)
        path = self.directory / "wine.json"
        self.wine = wine_results.WineResults(path) if path.exists() else None
        self.pictures = pictures
        self.drawn = set()
        self.out = []

    def say(self, *lines):
        self.out += lines
        self.out.append("")

    def heading(self, title):
        self.say(f"## {title}")

    def picture(self, name, words):
        if name in self.drawn:
            self.say(f"![{words}]({self.pictures}/{name}.svg)")

    def read_lines(self, name):
        path = self.directory / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def make(self, picture_directory, pixels):
        self.drawn = plots.draw(self.results, self.wine, picture_directory, pixels)
        self.head()
        for section in SECTIONS:
            self.heading(section)
            getattr(self, section.lower().translate(str.maketrans(" ,+", "___")).replace("__", "_"))()
        for number, reason in FOOTNOTES.values():
            self.say(f"[^{number}]: For example: {reason}.")
        return "\n".join(self.out).rstrip() + "\n"

    def head(self):
        modes = sorted(self.results.modes)
        self.say("<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->")
        self.out.pop()
        self.say("# Benchmarks")
        self.say(f"Made by `scripts/bench --{modes[0] if len(modes) == 1 else 'quick'}` from the results of one run; "
                 "not edited. A fresh clone makes it again with that one command, which keeps the raw results as JSON "
                 "in `build/`.")
        if len(modes) != 1:
            self.say(f"**Mixed results**: parts were run in different modes ({', '.join(modes)}).")
        machine = [(line[:13].strip(), line[13:]) for line in self.read_lines("machine.txt")]
        durations = [line.split() for line in self.read_lines("durations.txt")]
        total = sum(float(seconds) for _, seconds in durations)
        rows = [[key, value.strip()] for key, value in machine]
        if durations:
            longest = sorted(durations, key=lambda pair: -float(pair[1]))[:3]
            rows.append(["duration", f"{total / 60:.1f} minutes (" + ", ".join(
                f"{name} {float(seconds):.0f} s" for name, seconds in longest) + ", …), without building"])
        self.say(table(["machine", ""], rows, right_from=2))
        values = dict(machine)
        load = re.match(r"[0-9.]+", values.get("load", ""))
        processors = re.search(r"([0-9]+) of them", values.get("cpu", ""))
        if load and processors and float(load[0]) > int(processors[1]) / 2:
            self.say(f"**The machine was busy** (load {load[0]} on {processors[1]} processors before the run): ratios near 1, "
                     "worst cases of many, and times in general say little here. Run it again on a quiet one.")
        self.say("Times are medians; ± is half the distance between the quartiles, as a share of the median. Peers run "
                 "in the same process, their repetitions interleaved in random order, so that whatever else the machine "
                 "does falls on all alike: ratios are what counts. In tables, (1.20×) behind a peer's time means that "
                 "writewatch takes 1.20 times as long, (0.50×) that it takes half as long. Each peer's answers are "
                 "compared with the pages that were written, before it is timed and again in each timed repetition.")

    def targets(self):
        rows = []
        found = targets.evaluate(self.results, self.wine)
        for target in found:
            value = target.show(target.value) if target.value is not None else ""
            why = reasons.REASONS.get(target.statement, "not looked into yet") if target.met is False else ""
            rows.append([target.number, target.statement, value, target.verdict, target.detail, why])
        met = sum(1 for target in found if target.met)
        measured = sum(1 for target in found if target.met is not None)
        self.say(f"{met} of {measured} met. Where a target is about many cases, the worst one counts. On a busy machine "
                 "the ratios close to 1 are noise: the spreads in the tables tell.")
        self.say(table(["", "target", "measured", "", "case", "why"], rows, right_from=9))

    def what_is_compared(self):
        rows = [[f"**{peer}**", self.results.descriptions.get(peer, ""),
                 "not here: " + self.results.unavailable[peer] if peer in self.results.unavailable else ""]
                for peer in kept.PEERS]
        self.say(table(["peer", "", ""], rows, right_from=9))
        self.say("The peers are written for this suite from the designs' descriptions, in their strongest form "
                 "([shim/bench](../shim/bench)); Wine itself is measured further down. The floor runs on the library's "
                 "own memory, so that the two differ by what surrounds the ioctl alone.")

    def writes(self):
        self.picture("writes", "What a write costs with each peer")
        rows = merge_rows(self.results.rows("writes"), "pages")
        self.say(group_table(rows) if rows else "Not in this run.")
        faults = [[describe(parameters)] + [
            f"{row[peer].counter('faults'):.2f}" if peer in row and row[peer].times else "" for peer in peers_of(rows)]
            for parameters, row in rows]
        self.say("Page faults for one write, as the kernel counts them (a fault that ends in a signal is not counted):")
        self.say(table(["", *peers_of(rows)], faults))

    def get_get_reset_reset(self):
        matrix = self.results.rows("matrix")
        if not matrix:
            self.say("Not in this run.")
            return
        pages = matrix[0][0]["pages"]
        self.say(f"One call about a populated region of {pages:,} pages ({text.kib(pages * 4)}), by the share of pages "
                 "written since the last reset.")
        for op, title in (("get_reset", "get+reset"), ("get", "get without reset"), ("reset", "reset")):
            self.say(f"### {title}")
            self.picture(op.replace("_", "-"), f"{title} by share of written pages")
            rows = [({key: value for key, value in parameters.items() if key != "op"}, row)
                    for parameters, row in matrix if parameters["op"] == op]
            self.say(group_table(rows))

    def patterns_of_real_clients(self):
        for group in PATTERNS:
            self.say(f"### {group}")
            client = self.results.clients.get(group, "")
            rows = self.results.rows(group)
            if not rows:
                self.say("Not in this run.")
                continue
            self.say(client + ".")
            self.picture(group, client)
            self.say(group_table(rows))

    def growth_of_cost(self):
        self.picture("growth", "Growth of cost with a region's size")
        kinds = [
            ("allocating, by size of the region, untouched", "allocate", "untouched_kib", 4, "page"),
            ("get of an untouched region, by its size", "get", "untouched_kib", 4, "page"),
            ("idle get, by populated pages", "get", "populated_kib", 4, "page"),
            ("get+reset, every 4th page written, by populated pages", "get_reset", "populated_kib", 4, "page"),
        ]
        rows = []
        for title, op, key, kib, unit in kinds:
            rows += self.slopes(title, [pair for pair in self.results.rows("growth", op=op) if key in pair[0]],
                                key, 1 / kib, unit)
        rows += self.slopes("single-page get, by number of watched regions",
                            self.results.rows("regions", op="get_page"), "regions", 1, "region")
        rows += self.slopes("a write and get+reset, by number of watched regions",
                            self.results.rows("regions", op="write_get_reset"), "regions", 1, "region")
        if not rows:
            self.say("Not in this run.")
            return
        self.say("Fitted as time = fixed cost + slope × size, by least squares of the relative errors; the last column is "
                 "the largest relative distance of a point from its line. Where it is large, the growth is not a line "
                 "(caches), and the plot says more.")
        self.say(table(["", "peer", "sizes", "fixed cost", "slope", "worst fit"], rows, right_from=2))

    @staticmethod
    def slopes(title, rows, key, scale, unit):
        lines = []
        for peer in peers_of(rows):
            points = sorted((parameters[key] * scale, row[peer].median) for parameters, row in rows
                            if peer in row and row[peer].times)
            if len(points) < 3:
                continue
            fixed, slope, worst = kept.fit(points)
            lines.append([title if not lines else "", peer, f"{points[0][0]:,.0f} to {points[-1][0]:,.0f} {unit}s",
                          text.duration(max(fixed, 0)), f"{text.significant(slope)} ns/{unit}", f"{worst * 100:.0f} %"])
        return lines

    def threads(self):
        rows = self.results.rows("threads")
        if not rows:
            self.say("Not in this run.")
            return
        self.say("Threads store into random pages of a 32 MiB heap without rest, so that each page that was reset costs "
                 "the next writer a fault; one thread collects: not at all, at 60 Hz (\"frames\"), or again as soon as it "
                 "has its answer (\"loop\").")
        self.picture("threads", "Throughput of writers and latency of a collector")
        lines = []
        peers = peers_of(rows)
        for collector in ("none", "frames", "loop"):
            for parameters, row in self.results.rows("threads", collector=collector):
                cells = []
                for peer in peers:
                    case = row.get(peer)
                    if case is None or not case.times:
                        cells.append("")
                        continue
                    words = f"{case.counter('writes_per_s') / 1e6:.1f} M/s"
                    if "get_p50_ns" in case.counters:
                        words += (f"; {text.duration(case.counter('get_p50_ns'))}, "
                                  f"{text.duration(case.counter('get_p99_ns'))}")
                    cells.append(words)
                lines.append([f"{collector}, {parameters['threads']} writing", *cells])
        self.say("Writes a second; get+reset p50, p99:")
        self.say(table(["collector", *peers], lines))
        slopes = []
        for peer in peers:
            points = [(case.parameters["threads"], case.counter("get_p99_ns"))
                      for case in self.results.select("threads", peer=peer, collector="loop") if case.times]
            if len(points) >= 3:
                fixed, slope, worst = kept.fit(sorted(points))
                slopes.append([peer, text.duration(max(fixed, 0)), f"{slope / 1e3:+,.1f} µs/thread", f"{worst * 100:.0f} %"])
        if slopes:
            self.say("p99 of a get+reset in the loop, fitted over the number of writing threads:")
            self.say(table(["peer", "fixed", "slope", "worst fit"], slopes))

    def memory(self):
        rows = self.results.rows("memory")
        if not rows:
            self.say("Not in this run.")
            return
        self.say("What each case adds to a process that has one watched region already, each in a process of its own: "
                 "page tables (VmPTE), resident memory, mappings, faults. The peers' own tables are in the resident "
                 "memory; of populated regions it contains the pages.")
        peers = peers_of(rows)
        for name, title, show in (
            ("page_tables_kib", "page tables", text.kib),
            ("resident_kib", "resident memory", text.kib),
            ("mappings", "mappings", lambda value: f"{value:,.0f}"),
            ("faults", "page faults", lambda value: f"{value:,.0f}"),
        ):
            lines = []
            for parameters, row in rows:
                cells = []
                for peer in peers:
                    case = row.get(peer)
                    if case is None:
                        cells.append("")
                    elif not case.times:
                        cells.append("not possible[^%s]" % footnote(case.reason))
                    else:
                        cells.append(show(case.counter(name)))
                lines.append([parameters["case"].replace("_", " "), *cells])
            self.say(f"### {title}")
            self.say(table(["", *peers], lines))
        crowd = [(peer, self.results.one("memory", peer=peer, case="small_regions")) for peer in peers]
        self.say("Resident bytes for each of 30,000 watched regions: " + ", ".join(
            f"{peer} {case.counter('bytes_per_region'):.0f}" for peer, case in crowd if case) + ".")

    def under_wine(self):
        if self.wine is None:
            self.say("Not in this run.")
            return
        self.picture("wine", "Stock Wine and Wine with writewatch")
        titles = {
            "rotate": ("### Writes and get+reset", [("spread_write_ns", "write, every 4th page"),
                                                    ("spread_get_reset_ns", "get+reset"),
                                                    ("block_write_ns", "write, in one piece"),
                                                    ("block_get_reset_ns", "get+reset")]),
            "alternate": ("### 1 GiB, every second page, then the others", [("total_ns", "in all")]),
            "collector": ("### The demo: an incremental collector", [("total_ns", "collecting"),
                                                                     ("pause_p50_ns", "pause, median"),
                                                                     ("pause_p99_ns", "p99"),
                                                                     ("pause_max_ns", "longest")]),
            "bdwgc": ("### bdwgc's own test, incremental, on GetWriteWatch", [("total_ns", "total"),
                                                                              ("cpu_ns", "CPU time"),
                                                                              ("pause_p50_ns", "pause, median"),
                                                                              ("pause_p99_ns", "p99"),
                                                                              ("pause_max_ns", "longest")]),
        }
        for program, (title, columns) in titles.items():
            if program not in self.wine.programs:
                continue
            self.say(title)
            words = " ".join(self.wine.arguments.get(program, []))
            if words:
                self.say(f"Arguments: `{words}`.")
            lines = []
            for variant in ("wine-stock", "wine-writewatch", "wine10-stock", "wine10-writewatch", "native"):
                if variant not in self.wine.programs[program]:
                    continue
                name = self.wine.title(variant)
                if self.wine.unfinished(program, variant):
                    lines.append([name, f"not done in {self.wine.limit_s} s"] + [""] * (len(columns) - 1))
                    continue
                stock = variant.replace("writewatch", "stock").replace("native", "wine-stock")
                cells = []
                for field, _ in columns:
                    value = text.duration(self.wine.median(program, variant, field))
                    times = self.wine.ratio(program, stock, variant, field)
                    if times and stock != variant:
                        value += f" ({text.ratio(times)} faster)" if times >= 1 else f" ({text.ratio(1 / times)} **slower**)"
                    cells.append(value)
                lines.append([name, *cells])
            self.say(table(["", *(title for _, title in columns)], lines))
        for what, reason in self.wine.missing.items():
            self.say(f"Not measured: {self.wine.title(what)}: {reason}.")

    def instructions(self):
        lines = self.read_lines("instructions.txt")
        if not lines:
            self.say("Not in this run.")
            return
        self.say("User-space instructions of one GetWriteWatch call, counted one by one (ptrace): the measure that a busy "
                 "machine does not disturb. The bounds are a test (`instructions-per-get`).")
        self.say("```", *lines, "```")

    def what_this_does_not_show(self):
        self.say(
            "- Most patterns are synthetic: they call as the named clients are known to call, on memory that does nothing "
            "else. Real programs spend most of their time elsewhere; bdwgc's test and the demo are programs, too, and small.",
            "- One machine, one kernel. Virtual machines pay more for page faults than metal does, which favours every design "
            "with fewer of them.",
            "- In this process a get by `mprotect` is a function call and reads bytes; under Wine it is a system call of Wine's, "
            "as writewatch's is.",
            "- `eager` and `mprotect` are designs, not Wine: what Wine's server, its other locks and its own tables cost is in "
            "\"Under Wine\" only, and Wine 10.7 and newer (eager arming) is not packaged by Debian and was not run.",
            "- mprotect's get without reset is a scan of bytes, and no scan of page tables is as cheap: the tables above "
            "show where writewatch loses to it.")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", help="directory with the kept results")
    parser.add_argument("--out", required=True, help="the report to write; plots go to a folder of its name beside it")
    parser.add_argument("--png", action="store_true", help="also draw the plots as PNG")
    arguments = parser.parse_args()
    out = pathlib.Path(arguments.out)
    report = Report(arguments.results, out.stem)
    if not report.results.cases:
        sys.exit("make-report: no results in " + arguments.results)
    out.write_text(report.make(out.parent / out.stem, arguments.png), encoding="utf-8")
    print(f"{out}: {len(report.results.cases)} cases, {len(report.drawn)} plots")


if __name__ == "__main__":
    main()
