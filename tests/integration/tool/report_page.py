#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The report of a recorded demo in headless Chromium: it is drawn, in light and dark, without an error on the
console, and nothing is fetched. The screenshots are kept (--artifacts)."""

import argparse
import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from subject import leave_without_tracking, run

try:
    from PIL import Image
except ImportError:
    print("skipped: python3-pil is not installed (scripts/setup test)", file=sys.stderr)
    sys.exit(77)

OPTIONS = argparse.Namespace()
SCHEMES = {"dark": 0, "light": 1}


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="writewatch-report-")
        recording = os.path.join(cls.folder, "demo.wwrec")
        result = run(OPTIONS.command, "record", "-q", "--interval", "2", "-o", recording, "--",
                     OPTIONS.collector, "--heap", "16", "--rounds", "300")
        assert result.returncode == 0, result
        cls.page = os.path.join(cls.folder, "demo.html")
        result = run(OPTIONS.command, "report", recording, "-o", cls.page)
        assert result.returncode == 0, result

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def browse(self, *arguments, scheme="light", page=None):
        command = [OPTIONS.browser, "--headless", "--disable-gpu", "--hide-scrollbars", "--window-size=1240,2400",
                   "--user-data-dir=" + os.path.join(self.folder, "profile"), "--no-first-run",
                   "--disable-background-networking", "--virtual-time-budget=3000", "--enable-logging=stderr", "--v=0",
                   "--blink-settings=preferredColorScheme=%d" % SCHEMES[scheme]]
        if os.geteuid() == 0:
            command.append("--no-sandbox") # its sandbox refuses root
        return subprocess.run([*command, *arguments, "file://" + (page or self.page)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, timeout=90, check=False)

    def assert_quiet_console(self, result):
        lines = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
        self.assertEqual(lines, [])

    def test_it_is_drawn_without_an_error(self):
        result = self.browse("--dump-dom")
        self.assert_quiet_console(result)
        self.assertIn('data-drawn="yes"', result.stdout)
        for part in ("What collector wrote, and what asking cost", "When which memory was written",
                     "time since the first region was seen", "the program asked (get)", "GetWriteWatch", "pages returned by a call",
                     "time that a call takes"):
            self.assertIn(part, result.stdout)
        self.assertGreaterEqual(result.stdout.count("<canvas"), 1)
        drawn = result.stdout.split('<main id="report">')[1].split("</main>")[0]
        self.assertIsNone(re.search("NaN|undefined|Infinity", drawn))

    def test_a_mistake_would_be_noticed(self):
        broken = os.path.join(self.folder, "broken.html")
        with open(self.page, encoding="utf-8") as good, open(broken, "w", encoding="utf-8") as bad:
            bad.write(good.read().replace('"totals":', '"total":'))
        result = self.browse("--dump-dom", page=broken)
        self.assertIn("CONSOLE", result.stderr)
        self.assertNotIn('data-drawn="yes"', result.stdout)

    def test_nothing_is_fetched(self):
        with open(self.page, encoding="utf-8") as file:
            text = file.read()
        links = re.findall(r"https?://[^\s\"'<>)]+", text)
        self.assertEqual(set(links) - {"http://www.w3.org/2000/svg"}, set()) # a name, not an address
        self.assertNotRegex(text, r"<link|<img|<iframe|@import|src=|url\(")
        self.assertIn("default-src 'none'", text)

    def take_picture(self, name, **what):
        if os.path.exists(name):
            os.remove(name)
        self.assert_quiet_console(self.browse("--screenshot=" + name, **what))
        picture = Image.open(name).convert("RGB")
        self.assertEqual(picture.size, (1240, 2400))
        return picture

    def picture_of_map(self, heat):
        """The page with every cell of the map at this heat, 0 to 255."""
        def of_this_heat(cells):
            return base64.b64encode(bytes([heat]) * len(base64.b64decode(cells.group(1)))).decode()

        altered = os.path.join(self.folder, "heat.html")
        with open(self.page, encoding="utf-8") as good, open(altered, "w", encoding="utf-8") as file:
            text, maps = re.subn(r'(?<="cells":")([A-Za-z0-9+/=]+)(?=")', of_this_heat, good.read())
            file.write(text)
        self.assertEqual(maps, 1) # the demo has one region
        return self.take_picture(os.path.join(self.folder, "heat.png"), page=altered)

    def test_heat_is_drawn(self):
        def hot_pixels(picture):
            return sum(count for count, (red, green, blue) in picture.getcolors(1 << 22)
                       if red > 120 and red > blue * 2 and red > green + 30)

        # How much a program writes at a time depends on the machine, so the cells are set. The other charts have
        # hot colours, too, and the same in both. (64: the middle of the scale, the reddest.)
        cold, hot = hot_pixels(self.picture_of_map(0)), hot_pixels(self.picture_of_map(64))
        self.assertGreater(hot - cold, 1240 * 2400 * 0.1)

    def test_pictures(self):
        os.makedirs(OPTIONS.artifacts, exist_ok=True)
        backgrounds = {}
        for scheme in SCHEMES:
            name = os.path.join(OPTIONS.artifacts, "report-%s.png" % scheme)
            picture = self.take_picture(name, scheme=scheme)
            colors = dict((color, count) for count, color in picture.getcolors(1 << 22))
            background = picture.getpixel((2, 2))
            backgrounds[scheme] = sum(background)
            # Much of a page is background, and a blank one is nothing else.
            self.assertLess(colors[background] / (1240 * 2400), 0.9)
            self.assertGreater(len(colors), 100)
        self.assertGreater(backgrounds["light"], 700)
        self.assertLess(backgrounds["dark"], 150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", required=True, help="the writewatch command")
    parser.add_argument("--collector", required=True, help="the demo's native program")
    parser.add_argument("--artifacts", required=True, help="where the screenshots go")
    parser.parse_args(namespace=OPTIONS)
    OPTIONS.browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if OPTIONS.browser is None:
        print("skipped: chromium is not installed (scripts/setup shells)", file=sys.stderr)
        return 77
    leave_without_tracking(OPTIONS.command)
    unittest.main(argv=[sys.argv[0]], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
