#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command, under valgrind: no wrong access to memory, no use of what was not set, no leak.

It looks at a process that runs outside of valgrind, which does not know userfaultfd(2); so `check` sees a kernel
without it.
"""

import argparse
import os
import shutil
import sys
import tempfile
import unittest

from subject import Subject, leave_without_tracking, run

OPTIONS = argparse.Namespace()
FOUND = 99


def valgrind(*arguments):
    return run(
        "valgrind",
        "--quiet",
        f"--error-exitcode={FOUND}",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite",
        OPTIONS.command,
        *arguments,
        timeout=120,
    )


class Verbs(unittest.TestCase):
    def check(self, *arguments, status=0):
        with self.subTest(" ".join(arguments)):
            result = valgrind(*arguments)
            self.assertEqual(result.returncode, status, result.stderr)
            return result.stdout

    def test_a_wrong_access_would_be_found(self):
        # What the other tests rely on: valgrind's answer gets here.
        result = run("valgrind", "--quiet", f"--error-exitcode={FOUND}", "--leak-check=full", OPTIONS.leaks)
        self.assertEqual(result.returncode, FOUND, result.stderr)

    def test_about_itself(self):
        self.check("version")
        self.check("version", "--json")
        self.check("help", "record")
        self.check("--help")
        self.check("check", status=2)
        self.check("check", "--json", status=2)

    def test_mistakes(self):
        self.check("lsit", status=64)
        self.check("show", status=64)
        self.check("show", "1", status=1)
        self.check("report", "/nonexistent", status=1)
        self.check("run", "/nonexistent/program", status=127)

    def test_another_process(self):
        folder = tempfile.mkdtemp(prefix="writewatch-valgrind-")
        self.addCleanup(shutil.rmtree, folder)
        recording = os.path.join(folder, "recording.wwrec")
        page = os.path.join(folder, "report.html")
        with Subject(OPTIONS.subject) as subject:
            subject("watch", 64)
            subject("write", 3, 20)
            pid = str(subject.pid)
            self.assertIn(pid, self.check("list"))
            self.check("list", "--json")
            self.check("show", pid)
            self.check("show", pid, "--json")
            self.check("record", pid, "--duration", "1", "--output", recording)
        self.check("report", recording, "--output", page)
        self.assertGreater(os.path.getsize(page), 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--command", required=True, help="the writewatch command")
    parser.add_argument("--subject", required=True, help="subject.cpp's program")
    parser.add_argument("--leaks", required=True, help="a program that leaks")
    parser.add_argument("tests", nargs="*", help="names of tests; default: all")
    parser.parse_args(namespace=OPTIONS)
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed (scripts/setup test)", file=sys.stderr)
        return 77
    leave_without_tracking(OPTIONS.command)
    unittest.main(argv=[sys.argv[0], *OPTIONS.tests], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
