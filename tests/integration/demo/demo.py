#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the bundled collector and `writewatch demo` promise: an equal snapshot, a loss that is noticed,
and plain words about what is missing here."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

OPTIONS = argparse.Namespace()
SMALL = ["--heap", "4", "--rounds", "4"]


def run(*command, **environment):
    variables = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=100, check=False)


class Collector(unittest.TestCase):
    def collect(self, *arguments, **environment):
        return run(OPTIONS.collector, "--json", *SMALL, *arguments, **environment)

    def assert_equal_snapshot(self, process):
        self.assertEqual(process.returncode, 0, process.stdout + process.stderr)
        result = json.loads(process.stdout)
        self.assertTrue(result["snapshot_equal"])
        self.assertEqual(result["first_pass_pages"], result["heap_pages"])
        self.assertEqual(result["pages_found"], result["pages_written"])
        return result

    def test_snapshot_is_equal(self):
        self.assert_equal_snapshot(self.collect())

    def test_snapshot_is_equal_with_a_small_array(self):
        # The array comes back full again and again: each pass takes many calls.
        result = self.assert_equal_snapshot(self.collect("--array", "7"))
        self.assertGreater(result["calls"], result["passes"])

    def test_snapshot_is_equal_on_the_fallback(self):
        self.assert_equal_snapshot(self.collect(WRITEWATCH_BACKEND="mprotect"))

    def test_many_threads(self):
        self.assert_equal_snapshot(self.collect("--threads", "16", "--writes", "500"))

    def test_a_lost_page_is_noticed(self):
        process = self.collect("--lose-a-page")
        self.assertEqual(process.returncode, 1)
        self.assertFalse(json.loads(process.stdout)["snapshot_equal"])

    def test_unusable_backend_is_an_error(self):
        process = self.collect(WRITEWATCH_BACKEND="no-such-backend")
        self.assertEqual(process.returncode, 1)
        self.assertIn("VirtualAlloc", process.stderr)

    def test_mistakes(self):
        for arguments in (["--heap"], ["--heap", "x"], ["--heap", "0"], ["--heap", "1x"], ["--threads", "257"],
                          ["--what"], ["4"]):
            process = run(OPTIONS.collector, *arguments)
            self.assertEqual(process.returncode, 64, arguments)
            self.assertEqual(len(process.stderr.splitlines()), 1, process.stderr)
            self.assertEqual(process.stdout, "")


class Demo(unittest.TestCase):
    def demo(self, *arguments, **environment):
        process = run(OPTIONS.command, "demo", *SMALL, *arguments, **environment)
        self.assertEqual(process.returncode, 0, process.stdout + process.stderr)
        return process

    def assert_good(self, entry):
        self.assertTrue(entry["result"]["snapshot_equal"], entry)
        self.assertEqual(entry["result"]["pages_found"], entry["result"]["pages_written"])


class DemoWithoutWine(Demo):
    def test_the_native_part_is_shown(self):
        document = json.loads(self.demo("--json", PATH="/nonexistent").stdout)
        self.assertEqual(document["schema"], "writewatch.demo/1")
        self.assert_good(document["runs"]["native"])
        self.assertIn("writewatch: select: ", document["runs"]["native"]["active"])
        for variant in ("wine_stock", "wine_writewatch"):
            self.assertIsNone(document["runs"][variant]["result"])
            self.assertIn("not installed", document["runs"][variant]["reason"])
            self.assertIn("scripts/setup wine", document["runs"][variant]["remedy"])

    def test_the_table_says_what_is_missing(self):
        text = self.demo(PATH="/nonexistent").stdout
        self.assertRegex(text, r"(?m)^native Linux .* equal$")
        self.assertRegex(text, r"(?m)^stock Wine: not shown: Wine is not installed")
        self.assertLessEqual(max(len(line) for line in text.splitlines() if " equal" in line), 110)

    def test_a_failed_run_is_a_failure(self):
        # Not Wine: a program that ends badly.
        process = run(OPTIONS.command, "demo", *SMALL, "--wine", shutil.which("false"))
        if os.path.exists(os.path.join(os.path.dirname(OPTIONS.collector), "collector.exe")):
            self.assertEqual(process.returncode, 1)
            self.assertRegex(process.stdout, r"stock Wine: FAILED: exit status 1")
        else:
            self.assertEqual(process.returncode, 0)
            self.assertRegex(process.stdout, r"stock Wine: not shown: ")


class DemoWithWine(Demo):
    def test_wine_with_writewatch_tracks_and_wins(self):
        with tempfile.TemporaryDirectory(prefix="writewatch-demo-") as prefix:
            try:
                document = json.loads(self.demo("--json", WINEPREFIX=prefix, WINEDEBUG="-all").stdout)
            finally:
                subprocess.run(["wineserver", "-k"], env={**os.environ, "WINEPREFIX": prefix}, check=False)
        runs = document["runs"]
        self.assert_good(runs["wine_stock"])
        if runs["wine_writewatch"]["result"] is None:
            self.skipTest(runs["wine_writewatch"]["reason"])
        self.assert_good(runs["wine_writewatch"])
        self.assertIn("pagemap-scan", runs["wine_writewatch"]["active"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part")
    parser.add_argument("--command", required=True)
    parser.add_argument("--collector", required=True)
    parser.parse_args(namespace=OPTIONS)
    if OPTIONS.part == "DemoWithWine":
        for program in ("wine", "wineserver"):
            if not shutil.which(program):
                print(f"skipped: {program} is not installed", file=sys.stderr)
                return 77
    program = unittest.main(argv=[sys.argv[0], OPTIONS.part], exit=False, verbosity=2)
    if not program.result.wasSuccessful():
        return 1
    if program.result.skipped:
        print("skipped: " + program.result.skipped[0][1], file=sys.stderr)
        required = os.environ.get("WRITEWATCH_TEST_REQUIRE") == "pagemap-scan"
        return 1 if required else 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
