#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the pictures of docs/images: `writewatch top` and a report, on the bundled collector under Wine.

    tests/integration/tool/pictures.py --command build/shim/tool/writewatch \\
        --collector build/shim/demo/collector.exe --output docs/images

Needs wine, chromium, python3-pyte, python3-pil and the fonts of fonts-dejavu-core.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time

from PIL import Image, ImageDraw, ImageFont

from subject import clean_environment, run
from top_screen import OPTIONS as TOP_OPTIONS, Top

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono%s.ttf"
NAMES = {"default": None, "black": None, "white": "#e5e5e5"}


def color(name, default):
    return NAMES.get(name, "#" + name) or default


def draw_screen(screen, path):
    """A pyte screen as a picture."""
    size = 15
    fonts = {bold: ImageFont.truetype(FONT % ("-Bold" if bold else ""), size) for bold in (False, True)}
    width, height, margin = 9, 19, 10
    picture = Image.new("RGB", (screen.columns * width + 2 * margin, screen.lines * height + 2 * margin), "#14171a")
    draw = ImageDraw.Draw(picture)
    for y in range(screen.lines):
        for x in range(screen.columns):
            cell = screen.buffer[y][x]
            front, back = color(cell.fg, "#d6dade"), color(cell.bg, "#14171a")
            if cell.reverse:
                front, back = back, front
            left, top = margin + x * width, margin + y * height
            draw.rectangle([left, top, left + width - 1, top + height - 1], fill=back)
            if cell.underscore:
                draw.line([left, top + height - 2, left + width - 1, top + height - 2], fill=front)
            draw.text((left, top + 1), cell.data, font=fonts[bool(cell.bold)], fill=front)
    picture.quantize(128).save(path, optimize=True)


def picture_of_top(arguments, environment, path):
    # Only the demo, whoever else is watching memory here.
    demo = subprocess.Popen([arguments.command, "run", "--", *wine(arguments), "--heap", "64",
                             "--rounds", "1000000", "--writes", "300"],
                            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pids = set()
    while not pids:
        time.sleep(0.2)
        listing = json.loads(run(arguments.command, "list", "--json").stdout)
        pids = {process["pid"] for process in listing["processes"] if process["image"].endswith(os.path.basename(arguments.collector))}
    top = Top(pids.pop(), "--interval", 0.25, lines=32, columns=112)
    try:
        top.until(lambda t: "64 MiB" in t.text() and " 0 gets/s" not in t.screen.display[0], 60)
        top.read(4)
        draw_screen(top.screen, path)
    finally:
        top.close()
        demo.kill()
        demo.wait()


def wine(arguments):
    return ["wine", arguments.collector] if arguments.collector.endswith(".exe") else [arguments.collector]


def picture_of_report(arguments, environment, folder, path):
    recording, page = os.path.join(folder, "demo.wwrec"), os.path.join(folder, "demo.html")
    subprocess.run([arguments.command, "record", "-q", "--interval", "1", "-o", recording, "--", *wine(arguments),
                    "--heap", "64", "--rounds", "600", "--writes", "2000"], env=environment, stdout=subprocess.DEVNULL, check=True)
    run(arguments.command, "report", recording, "-o", page)
    subprocess.run(["chromium", "--headless", "--disable-gpu", "--hide-scrollbars", "--no-sandbox",
                    "--user-data-dir=" + os.path.join(folder, "profile"), "--window-size=1240,%d" % arguments.height,
                    "--virtual-time-budget=3000", "--blink-settings=preferredColorScheme=1", "--screenshot=" + path,
                    "file://" + page], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    Image.open(path).convert("RGB").quantize(200).save(path, optimize=True)
    if arguments.keep:
        shutil.copy(page, arguments.keep)
        shutil.copy(recording, os.path.splitext(arguments.keep)[0] + ".wwrec")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", required=True, help="the writewatch command")
    parser.add_argument("--collector", required=True, help="the demo: collector.exe, or the native program")
    parser.add_argument("--output", required=True, help="the pictures' folder")
    parser.add_argument("--height", type=int, default=1960, help="of the report's picture")
    parser.add_argument("--keep", help="a copy of the report's page")
    arguments = parser.parse_args()
    TOP_OPTIONS.command = arguments.command
    os.makedirs(arguments.output, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="writewatch-pictures-", ignore_cleanup_errors=True) as folder:
        prefix = os.path.join(folder, "wine")
        environment = clean_environment(WINEPREFIX=prefix, WINEDEBUG="-all", DISPLAY="",
                                        WINEDLLOVERRIDES="mscoree,mshtml,winedbg=")
        try:
            if arguments.collector.endswith(".exe"):
                subprocess.run(["wineboot", "-i"], env=environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, timeout=120, check=False)
                time.sleep(2)
            picture_of_top(arguments, environment, os.path.join(arguments.output, "top.png"))
            picture_of_report(arguments, environment, folder, os.path.join(arguments.output, "report.png"))
        finally:
            if arguments.collector.endswith(".exe"):
                subprocess.run(["wineserver", "-k"], env=environment, check=False)


if __name__ == "__main__":
    main()
