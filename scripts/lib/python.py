# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the scripts in Python share: help and mistakes as the shell scripts have them, and where a result is from."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# A test's exit status.
EXIT_SKIPPED = 77
# Tests of the suites unit and conformance that are of the command, of the benches, of the tests themselves.
NOT_ABOUT_THE_LIBRARY = {
    "bench-peers", "harness-reports-each-outcome", "model-finds-mistakes", "recording", "tool-views",
}


class Failure(Exception):
    """The script cannot do what it is for: the message says why."""


def say(text):
    print(text, file=sys.stderr, flush=True)


class Parser(argparse.ArgumentParser):
    """Help that begins with "Usage: ", wrong usage in one line with status 64."""

    class Formatter(argparse.RawDescriptionHelpFormatter):
        def add_usage(self, usage, actions, groups, prefix=None):
            super().add_usage(usage, actions, groups, "Usage: ")

    def __init__(self, name, description, epilog):
        super().__init__(
            prog=f"scripts/{name}", description=description, epilog=epilog, formatter_class=self.Formatter
        )

    def error(self, message):
        self.exit(64, f"{self.prog}: {message} (see {self.prog} --help)\n")


def setup(*groups):
    subprocess.run([ROOT / "scripts" / "setup", *groups], check=True)


def run_main(main):
    """Ends the process with main's status; what went wrong is one message."""
    name = f"scripts/{pathlib.Path(sys.argv[0]).name}"
    try:
        sys.exit(main())
    except Failure as failure:
        say(f"{name}: {failure}")
    except subprocess.CalledProcessError as error:
        say(f"{name}: {' '.join(map(str, error.cmd))} ended with status {error.returncode}")
    sys.exit(1)


def provenance(*generated):
    """Command, date, commit and machine; `generated` are files whose changes do not count."""

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", ".", *(f":!{file}" for file in generated))
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    name = f"scripts/{pathlib.Path(sys.argv[0]).name}"
    return {
        "command": " ".join([name, *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": git("rev-parse", "--short=12", "HEAD") + (" with local changes" if changed else ""),
        "machine": f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}",
    }


def tests_of(build):
    """Meson's tests in a build directory: dictionaries with name, suites (plain), cmd, env, target."""
    def introspect(what):
        return json.loads(
            subprocess.run(["meson", "introspect", what, build], check=True, capture_output=True, text=True).stdout
        )

    files = {target["id"]: target["filename"][0] for target in introspect("--targets")}
    for test in introspect("--tests"):
        target = os.path.relpath(files[test["depends"][0]], build) if test["depends"] else None
        yield {**test, "suites": {suite.split(":")[-1] for suite in test["suite"]}, "target": target}
