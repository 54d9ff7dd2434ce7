#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""`writewatch top` on the bundled collector under Wine: its region is there within a second, and the map moves
with the writes."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from subject import clean_environment, leave_without_tracking, run
from top_screen import OPTIONS as TOP_OPTIONS, Top

OPTIONS = argparse.Namespace()


class Wine(unittest.TestCase):
    def setUp(self):
        self.prefix = tempfile.mkdtemp(prefix="writewatch-top-wine-")
        self.addCleanup(shutil.rmtree, self.prefix, ignore_errors=True)
        self.environment = clean_environment(WINEPREFIX=self.prefix, WINEDEBUG="-all", DISPLAY="",
                                             WINEDLLOVERRIDES="mscoree,mshtml,winedbg=")
        subprocess.run(["timeout", "100", "wineboot", "-i"], env=self.environment, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
        self.demo = subprocess.Popen(
            [OPTIONS.command, "run", "--", "wine", OPTIONS.collector, "--heap", "64", "--rounds", "1000000"],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.stop)

    def stop(self):
        self.demo.kill()
        self.demo.wait()
        subprocess.run(["timeout", "20", "wineserver", "-k"], env=self.environment, check=False)

    def process(self):
        """The demo, as `list` has it, once it is there."""
        for _ in range(600):
            listing = json.loads(run(OPTIONS.command, "list", "--json").stdout)
            for process in listing["processes"]:
                if process["host"] == "wine" and process["prefix"] == self.prefix and process["total"]["gets_with_reset"] > 0:
                    return process
            self.assertIsNone(self.demo.poll(), "the demo has ended")
            time.sleep(0.1)
        raise AssertionError("the demo is not in the registry")

    def test_the_demo_is_seen_at_work(self):
        process = self.process()
        self.assertTrue(process["image"].endswith("collector.exe"), process)
        self.assertGreater(process["windows_pid"], 0)
        (region,) = process["regions"]
        self.assertEqual(region["bytes"], 64 << 20)
        self.assertEqual(region["protection"], "read/write")

        top = Top(process["pid"], "--interval", 0.25)
        self.addCleanup(top.close)
        took = top.until(lambda t: region["address"] in t.text() and "64 MiB" in t.text())
        self.assertLess(took, 1)
        self.assertIn("collector.exe", top.text())
        top.until(lambda t: " 0 gets/s" not in t.screen.display[0])
        pictures = set()
        for _ in range(12):
            top.read(0.3)
            pictures.add(str(top.map_cells()))
        # Threads write everywhere, all the time: no two pictures are the same.
        self.assertGreater(len(pictures), 8)
        if OPTIONS.artifact:
            with open(OPTIONS.artifact, "w", encoding="utf-8") as file:
                file.write(top.text() + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", required=True, help="the writewatch command")
    parser.add_argument("--collector", required=True, help="the demo's Windows program")
    parser.add_argument("--artifact", help="where the screen's text goes")
    parser.parse_args(namespace=OPTIONS)
    TOP_OPTIONS.command = OPTIONS.command
    if shutil.which("wine") is None:
        print("skipped: wine is not installed (scripts/setup wine)", file=sys.stderr)
        return 77
    leave_without_tracking(OPTIONS.command)
    unittest.main(argv=[sys.argv[0]], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
