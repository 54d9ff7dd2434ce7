# SPDX-License-Identifier: LGPL-2.1-or-later
"""A running subject.cpp, and the command that looks at it."""

import os
import struct
import subprocess
import sys

PAGE = 4096


def clean_environment(**more):
    """Ours without what would change writewatch's answers."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WRITEWATCH_") and name not in ("LD_PRELOAD", "NO_COLOR", "COLUMNS")
    }
    variables.update(more)
    return variables


def run(*command, environment=None, timeout=60, **more):
    return subprocess.run(
        command,
        env=clean_environment(**(environment or {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        universal_newlines=True,
        timeout=timeout,
        check=False,
        **more,
    )


def leave_without_tracking(command):
    """Ends a test program that has nothing to look at where the kernel cannot track: skipped, or
    failed where CI requires it."""
    if run(command, "check").returncode == 0:
        return
    print("skipped: pagemap-scan: see `writewatch check`", file=sys.stderr)
    sys.exit(1 if "pagemap-scan" in os.environ.get("WRITEWATCH_TEST_REQUIRE", "") else 77)


class Subject:
    """`with Subject(program) as subject:` subject("watch", 16) gives its answer."""

    def __init__(self, program, environment=None, **more):
        self.process = subprocess.Popen(
            [program],
            env=clean_environment(**(environment or {})),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
            **more,
        )
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass # what a test wrote last was not read

    def __call__(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise EOFError("the subject has ended: %s" % self.process.wait())
        return answer.strip()

    def pages(self, question):
        """What "get" or "get-reset" answers, as numbers."""
        return [int(word) for word in self(question).split()]

    def page_table(self, address, pages):
        """The raw entries: present, swapped, and whether armed against writes (bits 63, 62, 57)."""
        with open("/proc/%d/pagemap" % self.pid, "rb") as pagemap:
            pagemap.seek(address // PAGE * 8)
            entries = struct.unpack("%dQ" % pages, pagemap.read(pages * 8))
        return [entry >> 57 & 0x61 for entry in entries]
