#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `writewatch top` paints on a terminal, and what its keys do: a pseudo terminal, read by pyte."""

import argparse
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

from subject import Subject, clean_environment, leave_without_tracking

try:
    import pyte
except ImportError:
    print("skipped: python3-pyte is not installed (scripts/setup test)", file=sys.stderr)
    sys.exit(77)

OPTIONS = argparse.Namespace()


class Top:
    """A running top, and its screen."""

    def __init__(self, *arguments, lines=40, columns=110, environment=None):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        master, slave = pty.openpty()
        self.terminal = master
        self.resize_terminal(slave, lines, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [OPTIONS.command, "top", *[str(argument) for argument in arguments]],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env=clean_environment(TERM="xterm-256color", **(environment or {})))

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)
        os.close(self.slave)

    @staticmethod
    def resize_terminal(terminal, lines, columns):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))

    def resize(self, lines, columns):
        self.screen.resize(lines, columns)
        self.resize_terminal(self.terminal, lines, columns)
        os.killpg(self.process.pid, signal.SIGWINCH)

    def read(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.terminal], [], [], left)[0]:
                self.stream.feed(os.read(self.terminal, 65536))

    def text(self):
        return "\n".join(self.screen.display)

    def until(self, condition, seconds=10):
        """Reads until the screen meets the condition; returns when that was, after the start."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(0.05)
            if condition(self):
                return time.monotonic() - self.started
        raise AssertionError("not on the screen:\n" + self.text())

    def keys(self, text):
        os.write(self.terminal, text.encode())

    def map_cells(self):
        """The map's cells as their background colours (or characters without colours), by line."""
        cells = []
        width = (self.screen.columns - 11) // 16 * 16
        for y, line in enumerate(self.screen.display):
            if line[:10].strip().startswith("+") and line[9] == " ":
                row = [self.screen.buffer[y][x] for x in range(10, 10 + width)]
                # The last line may end early.
                cells.append([cell.bg if cell.bg != "default" else cell.data for cell in row
                              if cell.bg != "default" or cell.data != " "])
        return cells


class Screen(unittest.TestCase):
    def setUp(self):
        self.subject = Subject(OPTIONS.subject)
        self.addCleanup(self.subject.__exit__)
        self.address = self.subject("watch", 4096)

    def top(self, *arguments, **more):
        top = Top(*arguments, **more)
        self.addCleanup(top.close)
        return top

    def test_regions_are_there_within_a_second(self):
        top = self.top(self.subject.pid)
        took = top.until(lambda t: self.address in t.text() and "16 MiB" in t.text())
        self.assertLess(took, 1)
        self.assertIn("1 process, 1 region, 16 MiB watched", top.text())
        self.assertIn("16 MiB at %s in %d" % (self.address, self.subject.pid), top.text())

    def test_the_map_follows_the_writes_and_fades(self):
        top = self.top(self.subject.pid, "--interval", 0.2)
        top.until(lambda t: len(t.map_cells()) > 3)
        cold = top.map_cells()
        self.assertEqual(len({cell for line in cold for cell in line}), 1)
        # The first quarter, then the last page.
        self.subject("write", 0, 1024)
        top.until(lambda t: "1,024 pages written now" in t.text())
        lines = len(cold)
        hot = top.map_cells()
        flat = [cell for line in hot for cell in line]
        quarter = len(flat) // 4
        self.assertNotIn(cold[0][0], flat[:quarter])
        self.assertEqual(set(flat[quarter:]), {cold[0][0]})
        self.subject("get-reset")
        self.subject("write", 4095, 1)
        top.until(lambda t: "1 pages written now" in t.text())
        self.assertNotEqual([cell for line in top.map_cells() for cell in line][-1], cold[0][0])
        # Nothing more is written: colder, then cold.
        first = top.map_cells()[0][0]
        top.until(lambda t: t.map_cells()[0][0] != first)
        top.until(lambda t: {cell for line in t.map_cells() for cell in line} == {cold[0][0]}, 20)
        self.assertEqual(len(top.map_cells()), lines)

    def test_without_colours_the_map_has_characters(self):
        top = self.top(self.subject.pid, "--interval", 0.2, environment={"NO_COLOR": "1"})
        top.until(lambda t: len(t.map_cells()) > 3)
        self.subject("write", 0, 4096)
        top.until(lambda t: "4,096 pages written now" in t.text())
        self.assertEqual({cell for line in top.map_cells() for cell in line} - set("@#%*+=-"), set())

    def test_rates(self):
        top = self.top(self.subject.pid, "--interval", 0.3)
        top.until(lambda t: "0 gets/s" in t.text())
        for _ in range(20):
            self.subject("gets", 100)
            top.read(0.05)
        self.assertNotIn(" 0 gets/s", top.screen.display[0])

    def test_keys(self):
        other = Subject(OPTIONS.subject)
        self.addCleanup(other.__exit__)
        other("watch", 16)
        second = self.subject("watch", 1024)
        top = self.top("--interval", 0.2, "--sort", "size")
        top.until(lambda t: self.address in t.text() and second in t.text())
        # The header of the column that sorts is marked.
        self.assertIn("vSIZE", top.text())
        top.keys("r")
        top.until(lambda t: "^SIZE" in t.text())
        top.keys("r>")
        top.until(lambda t: "vGETS/s" in t.text())
        top.keys("<<")
        top.until(lambda t: "vADDRESS" in t.text())
        # Processes, and back.
        top.keys("v")
        top.until(lambda t: "2 regions" in t.text() and "vWATCHES" in t.text())
        top.keys("v")
        top.until(lambda t: second in t.text())
        # Only the chosen row's process; all again.
        top.keys("\n")
        top.until(lambda t: "only process" in t.text())
        top.keys("\n")
        top.until(lambda t: "only process" not in t.text())
        # The arrows choose, and the map shows what was chosen.
        top.keys("\033OA" * 50)
        top.until(lambda t: " at 0x" in t.text())
        shown = [line for line in top.screen.display if "pages written now" in line]
        top.keys("\033OB")
        top.until(lambda t: [line for line in t.screen.display if "pages written now" in line] != shown)
        top.keys("h")
        top.until(lambda t: "Nothing that is looked at is changed" in t.text())
        top.keys("x")
        top.until(lambda t: "Nothing that is looked at is changed" not in t.text())

    def test_pause_holds_the_picture(self):
        top = self.top(self.subject.pid, "--interval", 0.1)
        top.until(lambda t: "0 pages written now" in t.text())
        top.keys(" ")
        top.until(lambda t: "PAUSED" in t.text())
        self.subject("write", 0, 9)
        top.read(0.6)
        self.assertIn(" 0 pages written now", top.text())
        top.keys(" ")
        top.until(lambda t: "9 pages written now" in t.text() and "PAUSED" not in t.text())

    def test_resize(self):
        top = self.top(self.subject.pid, lines=24, columns=80)
        top.until(lambda t: len(t.map_cells()) > 3)
        top.resize(50, 150)
        top.until(lambda t: "q quit" in t.screen.display[49])
        top.until(lambda t: len(t.map_cells()) > 20)
        for lines, columns in ((8, 40), (3, 20), (1, 10), (24, 80)):
            top.resize(lines, columns)
            top.read(0.3)
            self.assertIsNone(top.process.poll(), "it ended at %dx%d" % (columns, lines))
        top.until(lambda t: len(t.map_cells()) > 3)

    def test_it_ends_cleanly(self):
        for end in ("q", signal.SIGINT, signal.SIGTERM):
            top = self.top(self.subject.pid)
            top.until(lambda t: self.address in t.text())
            if end == "q":
                top.keys(end)
            else:
                top.process.send_signal(end)
            deadline = time.monotonic() + 10
            while top.process.poll() is None and time.monotonic() < deadline:
                top.read(0.05)
            if end == "q":
                self.assertEqual(top.process.returncode, 0)
            self.assertIsNotNone(top.process.returncode)
            self.assertEqual(termios.tcgetattr(top.slave)[3], top.before[3]) # echo, line mode

    def test_a_process_that_ends_leaves_the_screen(self):
        top = self.top("--interval", 0.1)
        top.until(lambda t: self.address in t.text())
        self.subject.process.kill()
        self.subject.process.wait()
        top.until(lambda t: self.address not in t.text())

    def test_it_changes_nothing(self):
        self.subject("write", 0, 64)
        self.subject("get-reset")
        self.subject("write", 10, 5)
        start = int(self.address, 16)
        before = self.subject.page_table(start, 4096)
        top = self.top(self.subject.pid, "--interval", 0.1)
        top.until(lambda t: "5 pages written now" in t.text())
        top.read(1)
        self.assertEqual(self.subject.page_table(start, 4096), before)
        self.assertEqual(self.subject.pages("get"), [10, 11, 12, 13, 14])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", required=True, help="the writewatch command")
    parser.add_argument("--subject", required=True, help="subject.cpp's program")
    parser.add_argument("tests", nargs="*", help="names of tests; default: all")
    parser.parse_args(namespace=OPTIONS)
    leave_without_tracking(OPTIONS.command)
    unittest.main(argv=[sys.argv[0], *OPTIONS.tests], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
