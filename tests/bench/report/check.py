#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The native benches' results are whole, and the report that is made from them has everything. Wine's numbers are
made up here (the Wines run in scripts/bench only); each is a number that would stand out."""

import argparse
import json
import pathlib
import re
import subprocess
import sys

INTERPRETER = "/usr/bin/python3"  # Debian's, as make-report.py
SKIP = 77


def check_results(directory):
    files = sorted(directory.glob("native-*.json"))
    assert len(files) >= 14, files
    for path in files:
        runs = {}
        for entry in json.loads(path.read_text(encoding="utf-8"))["benchmarks"]:
            if entry["run_type"] == "iteration" and not entry.get("error_occurred"):
                assert entry["real_time"] > 0, entry["name"]
                runs[entry["run_name"]] = runs.get(entry["run_name"], 0) + 1
        assert runs, f"{path.name}: nothing was measured"
        assert set(runs.values()) == {2}, (path.name, runs)
    print(f"{len(files)} groups")


def make_up_wine(directory):
    fields = {
        "rotate": ["spread_write_ns", "spread_get_reset_ns", "block_write_ns", "block_get_reset_ns"],
        "alternate": ["total_ns"],
        "collector": ["total_ns", "pause_p50_ns", "pause_p99_ns", "pause_max_ns"],
        "bdwgc": ["total_ns", "cpu_ns", "pause_p50_ns", "pause_p99_ns", "pause_max_ns"],
    }
    factors = {"wine-stock": 6, "wine-writewatch": 1, "wine10-stock": 5, "native": 1}
    programs = {
        program: {variant: [{field: 111.0 * factor for field in names}] for variant, factor in factors.items()}
        for program, names in fields.items()
    }
    programs["alternate"]["wine-stock"] = [None]
    document = {"programs": programs, "missing": {"wine10-writewatch": "no such Wine"}, "missing_programs": {},
                "limit_s": 7, "arguments": {"rotate": ["rotate", "1", "1"]},
                "versions": {"wine": "8.99", "wine10": "10.99"}}
    (directory / "wine.json").write_text(json.dumps(document), encoding="utf-8")
    (directory / "instructions.txt").write_text("one page, clean 123\n", encoding="utf-8")
    (directory / "machine.txt").write_text("cpu          a test\n", encoding="utf-8")


def check_report(text, plots):
    sections = ["Targets", "What is compared", "Writes", "Get, get+reset, reset", "Patterns of real clients",
                "Growth of cost", "Threads", "Memory", "Under Wine", "Instructions", "What this does not show"]
    assert re.findall(r"^## (.*)$", text, re.M) == sections, re.findall(r"^## (.*)$", text, re.M)
    parts = dict(zip(sections, re.split(r"^## .*$", text, flags=re.M)[1:]))
    for section, part in parts.items():
        assert "Not in this run" not in part, section
        assert len(part) > 200 or section == "Instructions", section
    rows = [line for line in parts["Targets"].splitlines() if re.match(r"\| [1-6] \|", line)]
    assert len(rows) == 19, len(rows)
    assert {row.split("|")[1].strip() for row in rows} == set("123456")
    for row in rows:
        # Of a target that was not measured the report says so; with these results all are.
        assert re.search(r"\| (met|\*\*missed\*\*[^|]*) \|", row), row
    assert "| 4 |" in text and "6.00×" in parts["Targets"]
    for word in ["8.99", "10.99", "666 ns", "111 ns (6.00× faster)", "not done in 7 s", "no such Wine"]:
        assert word in parts["Under Wine"], word
    for peer in ["writewatch", "floor", "eager", "mprotect"]:
        assert peer in parts["Get, get+reset, reset"]
    assert "one page, clean 123" in parts["Instructions"]
    linked = re.findall(r"\]\(report/([a-z-]+\.svg)\)", text)
    assert sorted(linked) == sorted(path.name for path in plots), (linked, plots)
    assert len(linked) >= 8, linked


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("generator", type=pathlib.Path, help="the folder of make-report.py")
    arguments = parser.parse_args()
    check_results(arguments.results)
    if subprocess.run([INTERPRETER, "-c", "import matplotlib"], capture_output=True, check=False).returncode:
        print("skipped: no python3-matplotlib (scripts/setup bench): the report was not made", file=sys.stderr)
        return SKIP
    make_up_wine(arguments.results)
    out = arguments.results / "report.md"
    command = [INTERPRETER, str(arguments.generator / "make-report.py"), str(arguments.results), "--out", str(out)]
    subprocess.run(command, check=True)
    plots = sorted((arguments.results / "report").glob("*.svg"))
    check_report(out.read_text(encoding="utf-8"), plots)
    # Nothing is filled in where nothing was measured.
    for path in [*arguments.results.glob("native-threads.json"), arguments.results / "wine.json"]:
        path.unlink()
    subprocess.run(command, check=True)
    text = out.read_text(encoding="utf-8")
    assert text.count("not measured |") == 4, text.count("not measured |")
    assert text.count("Not in this run.") == 2, text.count("Not in this run.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
