#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The documentation says what the code has: variables, options, functions, tests, links."""

import argparse
import pathlib
import re
import subprocess
import sys
import urllib.parse

CODE = {".c", ".cpp", ".h", ".py"}


class Checker:
    def __init__(self, root, command):
        self.root = pathlib.Path(root)
        self.command = command
        self.failures = 0

    def fail(self, text):
        self.failures += 1
        print("FAILED: " + text, file=sys.stderr)

    def files(self):
        """The project's own files: no build directories, nothing hidden but .ci."""
        for path in sorted(self.root.rglob("*")):
            parts = path.relative_to(self.root).parts
            if any(part.startswith(".") and part != ".ci" for part in parts):
                continue
            if any((self.root / parts[0] / mark).exists() for mark in ["meson-private", "build.ninja"]):
                continue
            if path.is_file():
                yield path

    def read(self, name):
        return (self.root / name).read_text(encoding="utf-8")

    def same(self, what, place, present, where, documented):
        """Both sets agree; says which member is missing where."""
        if not present:
            self.fail("no %s found in %s: is the pattern still right?" % (what, place))
        for name in sorted(present - documented):
            self.fail("%s %s is not in %s" % (what, name, where))
        for name in sorted(documented - present):
            self.fail("%s %s is in %s, but not in %s" % (what, name, where, place))
        print("%d %ss in %s" % (len(present), what, where))

    def environment(self):
        """Every WRITEWATCH_* variable of the code is in docs/environment.md, and the other way round;
        the stable ones are in writewatch-environment(7)."""
        used = set()
        for path in self.files():
            if "unit" in path.parts:
                continue  # the tests of sys/env make names up
            if path.suffix in CODE:
                pattern = r'"(WRITEWATCH_[A-Z0-9_]+)"'
            elif "scripts" in path.parts or ".ci" in path.parts or path.suffix in {".sh", ""}:
                pattern = r"\$\{?(WRITEWATCH_[A-Z0-9_]+)"
            else:
                continue
            try:
                used.update(re.findall(pattern, path.read_text(encoding="utf-8")))
            except UnicodeDecodeError:
                continue
        table = set(re.findall(r"^\| `(WRITEWATCH_[A-Z0-9_]+)`", self.read("docs/environment.md"), re.M))
        self.same("variable", "the code", used, "docs/environment.md", table)
        page = "docs/man/writewatch-environment.7.scd"
        entries = set(re.findall(r"^\*(WRITEWATCH_[A-Z0-9_]+)\*$", self.read(page), re.M))
        row = r"^\| `(WRITEWATCH_[A-Z0-9_]+)` .*\| stable \|$"
        stable = set(re.findall(row, self.read("docs/environment.md"), re.M))
        self.same("stable variable", "docs/environment.md", stable, page, entries)

    def help(self, *arguments):
        result = subprocess.run(
            [self.command, *arguments],
            stdout=subprocess.PIPE,
            universal_newlines=True,
            check=True,
        )
        return result.stdout

    def options(self):
        """Every verb and every option of each verb is in writewatch(1), under that verb."""
        page = self.read("docs/man/writewatch.1.scd")
        verbs = set(re.findall(r"^  ([a-z]+) {2,}", self.help("help"), re.M))
        section = page.split("# VERBS")[1].split("\n# ")[0]
        parts = re.split(r"^\*([a-z]+)\*$", section, flags=re.M)
        documented = dict(zip(parts[1::2], parts[2::2]))
        self.same("verb", "writewatch help", verbs, "writewatch(1)", set(documented))
        for verb in sorted(verbs & set(documented)):
            options = set(re.findall(r"^ +(?:-\w,)?(--[a-z-]+)", self.help("help", verb), re.M))
            options.discard("--help")
            described = set(re.findall(r"\*(--[a-z-]+)\*", documented[verb]))
            for name in sorted(options - described):
                self.fail("option %s of %s is not in writewatch(1)" % (name, verb))
            for name in sorted(described - options):
                self.fail("writewatch(1) describes %s of %s, which does not have it" % (name, verb))
        common = set(re.findall(r"\*(--[a-z-]+)\*", page.split("# OPTIONS")[1].split("\n# ")[0]))
        own = set(re.findall(r"^ +(?:-\w,)?(--[a-z-]+)", self.help("--help"), re.M))
        self.same("option", "writewatch --help", own, "OPTIONS of writewatch(1)", common)

    def functions(self):
        """Every function of a public header is in NAME and SYNOPSIS of its man page."""
        for header, pattern, name in [
            ("writewatch.h", r"\b(ww_[a-z_]+)\(", "writewatch"),
            ("win32.h", r"\bWINAPI ([A-Z]\w+)\(", "writewatch-win32"),
        ]:
            text = self.read("abi/include/writewatch/" + header)
            text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
            declared = set(re.findall(pattern, text))
            page = "docs/man/%s.3.scd" % name
            lines = self.read(page)
            named = lines.split("# NAME\n\n")[1].split(" - ")[0].split(", ")
            synopsis = lines.split("# SYNOPSIS")[1].split("\n# ")[0]
            self.same("function", header, declared, "NAME of " + page, set(named))
            shown = set(re.findall(r"(\w+)\(", synopsis))
            self.same("function", header, declared, "SYNOPSIS of " + page, shown)

    def kernel(self):
        """Every program of tests/kernel is in docs/kernel-interface.md, and the other way round."""
        programs = {path.stem for path in (self.root / "tests/kernel").glob("*.cpp")}
        built = set(re.findall(r"^  '([a-z0-9-]+)',$", self.read("tests/kernel/meson.build"), re.M))
        self.same("program", "tests/kernel", programs, "tests/kernel/meson.build", built)
        text = self.read("docs/kernel-interface.md")
        named = set()
        for group in re.findall(r"\[([a-z0-9, \n-]+)\](?!\()", text):
            named.update(re.split(r",\s+", group))
        for row in re.findall(r"^\|.*\|$", text, re.M):
            last = row.rstrip("|").split("|")[-1].strip()
            names = re.split(r",\s+", last)
            if all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", one) for one in names):
                named.update(names)
        self.same("program", "tests/kernel", programs, "docs/kernel-interface.md", named)

    def tests(self):
        """Every test that SECURITY.md and docs/troubleshooting.md name as holding a claim is there, and
        each case that they quote."""
        sources = [p for p in (self.root / "tests").rglob("*") if p.suffix in {".cpp", ".build"}]
        text = "".join(path.read_text(encoding="utf-8") for path in sources)
        names = set(re.findall(r"'([a-z0-9-]+)'", text))  # in meson.build, some without a prefix
        names.update(path.stem for path in sources)
        cases = " ".join(re.findall(r'TEST_CASE\(\s*"([^"]*)"', text))
        security = self.read("SECURITY.md")
        claims = [row.rstrip("|").split(" | ")[-1] for row in re.findall(r"^\|.*\|$", security, re.M)]
        claims += re.findall(r"\(([^()]*`[^()]*)\)", security.split("What we leave in the process")[1])
        later = self.read("docs/troubleshooting.md").split("## Limits later")[1]
        claims += [row.rstrip("|").split(" | ")[-1] for row in re.findall(r"^\|.*\|$", later, re.M)]
        count = 0
        for claim in claims:
            for name in re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)(?:-…)?`", claim):
                count += 1
                parts = name.split("-")
                if not any("-".join(parts[i:]) in names for i in range(len(parts))):
                    self.fail("no test is called %s" % name)
            for case in re.findall(r'"([^"]*)"', claim):
                count += 1
                if case not in cases:
                    self.fail('no test case is called "%s"' % case)
        if count < 20:
            self.fail("only %d tests found: are the patterns still right?" % count)
        print("%d tests and cases hold what is claimed" % count)

    @staticmethod
    def anchors(text):
        """The anchors that a Markdown file's headings give."""
        found = set()
        for heading in re.findall(r"^#+ +(.*)$", text, re.M):
            plain = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
        return found

    def links(self):
        """Relative links in Markdown files lead to a file that is there, and to a heading in it."""
        count = 0
        for path in self.files():
            if path.suffix != ".md":
                continue
            text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.S)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if re.match(r"[a-z+]+:", target):
                    continue
                count += 1
                file, _, anchor = target.partition("#")
                leads_to = path.parent / urllib.parse.unquote(file) if file else path
                where = path.relative_to(self.root)
                if not leads_to.exists():
                    self.fail("%s: link to %s, which is not there" % (where, target))
                elif anchor and leads_to.suffix == ".md":
                    if anchor not in self.anchors(leads_to.read_text(encoding="utf-8")):
                        self.fail("%s: link to %s: no such heading" % (where, target))
        if count == 0:
            self.fail("no relative links found: is the pattern still right?")
        print("%d relative links" % count)


def main():
    checks = ["environment", "options", "functions", "kernel", "tests", "links"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("check", choices=checks)
    parser.add_argument("--source", required=True, help="the project's root")
    parser.add_argument("--command", help="the writewatch command (for options)")
    arguments = parser.parse_args()
    checker = Checker(arguments.source, arguments.command)
    getattr(checker, arguments.check)()
    sys.exit(1 if checker.failures else 0)


if __name__ == "__main__":
    main()
