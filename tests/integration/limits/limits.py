#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""One limit of docs/troubleshooting.md: the command, native programs and the preload, each run under
it, print the message that the table has and get the answers that it promises. The words of the
table are the expectation, so that it cannot say anything else than what is printed."""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

NOT_USABLE = "writewatch: pagemap-scan is not usable: "
USABLE = "writewatch: pagemap-scan is usable"
NOBODY = "65534"


class Skip(Exception):
    pass


def root_needed(what):
    if os.geteuid() != 0:
        raise Skip(what + " needs root")


class Limit:
    """How a command is put under the limit: what goes before it, and variables."""

    def __init__(self, prefix=(), variables=None, preload=None, library=None):
        self.prefix = list(prefix)
        self.variables = variables or {}
        self.preload = preload  # before other libraries
        self.library = library


def seccomp(tools, *rules):
    return Limit([tools.without, *rules, "--"])


def lie(tools, name):
    return Limit(variables={"LYING_KERNEL": name}, preload=tools.lying_kernel)


def without_proc(_):
    root_needed("a mount namespace without /proc")
    # Everything of this process's that the command needs is open or mapped by then.
    return Limit(["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"])


def ordinary_user(_):
    root_needed("becoming another user")
    setting = pathlib.Path("/proc/sys/vm/unprivileged_userfaultfd")
    if setting.exists() and setting.read_text().strip() != "0":
        raise Skip("vm.unprivileged_userfaultfd is not 0")
    return Limit(["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--inh-caps=-all"])


def few_descriptors(_):
    # 0 to 2, and one to load libraries with.
    return Limit(["prlimit", "--nofile=4"])


LIMITS = {
    "userfaultfd-eperm": lambda tools: seccomp(tools, "userfaultfd=EPERM"),
    "userfaultfd-enosys": lambda tools: seccomp(tools, "userfaultfd=ENOSYS"),
    "container": lambda tools: seccomp(tools, "--container"),
    "wp-async-einval": lambda tools: seccomp(tools, "UFFDIO_API=EINVAL"),
    "pagemap-scan-enotty": lambda tools: seccomp(tools, "PAGEMAP_SCAN=ENOTTY"),
    "pagemap-scan-einval": lambda tools: seccomp(tools, "PAGEMAP_SCAN=EINVAL"),
    "pagemap-scan-eperm": lambda tools: seccomp(tools, "PAGEMAP_SCAN=EPERM"),
    "no-proc": without_proc,
    "ordinary-user": ordinary_user,
    "descriptors": few_descriptors,
    "register-refused": lambda tools: lie(tools, "register-refused"),
    "register-ignored": lambda tools: lie(tools, "register-ignored"),
    "reset-ignored": lambda tools: lie(tools, "reset-ignored"),
    "nonsense": lambda tools: lie(tools, "outside"),
}


def table(document):
    """The rows of the table of limits: name -> (message, answer of ww_open, of VirtualAlloc)."""
    text = pathlib.Path(document).read_text(encoding="utf-8")
    section = text.split("\n## Limits at the start\n")[1].split("\n## ")[0]
    rows = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        name = re.match(r"`([a-z-]+)`: ", cells[0])
        if name and len(cells) == 4:
            rows[name.group(1)] = cells[1].strip("`"), cells[2]
    return rows


def same(text):
    """Without what differs from run to run."""
    return re.sub(r"0x[0-9a-f]+", "0x…", text)


class Trial:
    def __init__(self, tools, limit, message, native):
        self.tools = tools
        self.limit = limit
        self.message = message
        self.native = native
        self.failures = 0

    def expect(self, what, got, wanted):
        if got == wanted:
            return
        self.failures += 1
        print("FAILED: %s:\n  printed: %s\n  table:   %s" % (what, got, wanted), file=sys.stderr)

    def run(self, *command, preload=None, **variables):
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("WRITEWATCH_")
        }
        environment.update(self.limit.variables)
        # Found without a look at /proc/self/exe, where there is no /proc.
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(self.tools.libraries)
        environment["WRITEWATCH_REGISTRY"] = "0"
        inner = dict(variables)
        libraries = [one for one in [self.limit.preload, preload] if one]
        if libraries:
            inner["LD_PRELOAD"] = ":".join(libraries)
        words = self.limit.prefix + ["env"] + ["%s=%s" % one for one in inner.items()] + list(command)
        result = subprocess.run(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            env=environment,
            timeout=30,
            check=False,
        )
        return result.returncode, result.stdout, result.stderr

    def check_command(self):
        status, output, errors = self.run(self.tools.command, "check")
        last = output.splitlines()[-1] if output else errors
        usable = self.message == "usable"
        self.expect("writewatch check", same(last), USABLE if usable else NOT_USABLE + self.message)
        self.expect("exit status of writewatch check", status, 0 if usable else 2)
        status, output, _ = self.run(self.tools.command, "check", "--json")
        reason = json.loads(output)["reason"]
        self.expect("check --json", same(reason or "usable"), self.message)

    def native_programs(self):
        """Both libraries: the answers, and one line of log that says which backend runs and why."""
        works = "ok" if self.native in ["`pagemap-scan`", "`mprotect`"] else self.native
        backend = self.native.strip("`")
        status, output, _ = self.run(self.tools.use_c_api)
        if works == "ok":
            self.expect("C API", output, "open ok %s\nwatch ok\ncollect ok\n" % backend)
        else:
            self.expect("C API", output, "open ok mprotect\nwatch %s\n" % backend)
        self.expect("exit status of the C API's user", status, 0)

        status, output, errors = self.run(self.tools.use_win32, WRITEWATCH_LOG="info")
        if works == "ok":
            self.expect("Win32", output, "VirtualAlloc ok\nGetWriteWatch ok\n")
        self.expect("exit status of the Win32 user", status, 0)
        lines = [line for line in errors.splitlines() if " select: " in line]
        self.expect("lines of log about the backend", len(lines), 1)
        if self.message != "usable":
            found = re.match(
                r"writewatch: select: mprotect \(native, kernel [^;]*; not pagemap-scan: (.*)\)$",
                "".join(lines),
            )
            self.expect("the log of a native program", found and same(found.group(1)), self.message)

        # Asked for by name it is an error and never something else.
        if self.message != "usable":
            _, output, _ = self.run(self.tools.use_c_api, WRITEWATCH_BACKEND="pagemap-scan")
            self.expect("forced, C API", bool(re.match(r"open E[A-Z]+\n$", output)), True)
            _, output, _ = self.run(self.tools.use_win32, WRITEWATCH_BACKEND="pagemap-scan")
            self.expect("forced, Win32", bool(re.match(r"VirtualAlloc \d+\n$", output)), True)

    def preload(self):
        """Inert, and says why once; or active."""
        if not self.tools.preload:
            return
        with tempfile.TemporaryDirectory() as directory:
            place = pathlib.Path(directory) / "x86_64-unix"
            place.mkdir()
            os.chmod(directory, 0o755)
            ntdll = place / "ntdll.so"
            shutil.copy(self.tools.ntdll, ntdll)
            expectation = "expect-microsoft" if self.message == "usable" else "expect-inert"
            status, _, errors = self.run(
                self.tools.loader, str(ntdll), expectation, preload=self.tools.preload
            )
        lines = [line for line in errors.splitlines() if line.startswith("writewatch: ")]
        if self.message == "usable":
            self.expect("the preload's log", lines, [])
        else:
            wanted = ["writewatch: wine: inert: " + self.message]
            self.expect("the preload's log", [same(line) for line in lines], wanted)
        self.expect("exit status of the fake Wine", status, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("limit", choices=[*LIMITS, "all-documented"])
    parser.add_argument("--document", required=True, help="docs/troubleshooting.md")
    for name in ["command", "without", "lying-kernel", "use-c-api", "use-win32"]:
        parser.add_argument("--" + name)
    for name in ["preload", "loader", "ntdll"]:
        parser.add_argument("--" + name, help="without: the preload is not tried")
    parser.add_argument("--libraries", action="append", default=[])
    tools = parser.parse_args()

    rows = table(tools.document)
    if tools.limit == "all-documented":
        for name in sorted(set(rows) ^ set(LIMITS)):
            print("FAILED: %s is not both tried and documented" % name, file=sys.stderr)
        print("%d limits" % len(rows))
        sys.exit(0 if set(rows) == set(LIMITS) else 1)

    for name in ["lying_kernel", "preload"]:  # the preload refuses relative paths
        if getattr(tools, name):
            setattr(tools, name, os.path.abspath(getattr(tools, name)))
    try:
        limit = LIMITS[tools.limit](tools)
    except Skip as reason:
        print("skipped: %s" % reason, file=sys.stderr)
        sys.exit(77)
    trial = Trial(tools, limit, *rows[tools.limit])
    trial.check_command()
    trial.native_programs()
    trial.preload()
    sys.exit(1 if trial.failures else 0)


if __name__ == "__main__":
    main()
