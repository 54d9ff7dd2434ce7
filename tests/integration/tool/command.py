#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the `writewatch` command promises: help, mistakes, exit statuses, JSON, and what `run` sets.

The command is copied into directory trees of the test's own, installed and not installed, with a
library that does nothing in the place of libwritewatch-wine.so.
"""

import argparse
import ctypes
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

VERBS = ["check", "run", "list", "show", "top", "record", "report", "demo", "bench", "version", "help"]
LIBRARY = "libwritewatch-wine.so"
OPTIONS = argparse.Namespace()


def forbid_userfaultfd():
    """In the child: userfaultfd(2) answers EPERM, as in a container with a seccomp filter."""
    load_number, if_equal, give_back = 0x20, 0x15, 0x06
    userfaultfd, allow, eperm = 323, 0x7FFF0000, 0x00050000 | 1
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in [
            (load_number, 0, 0, 0),
            (if_equal, 0, 1, userfaultfd),
            (give_back, 0, 0, eperm),
            (give_back, 0, 0, allow),
        ]
    )
    code = ctypes.create_string_buffer(program)
    descriptor = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    if prctl(no_new_privileges, 1, 0, 0, 0) != 0 or prctl(set_seccomp, filter_mode, descriptor) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class CommandTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="writewatch-tool-")
        self.addCleanup(shutil.rmtree, self.folder)
        # Not installed: the library beside the command.
        self.command = self.place("build/writewatch", OPTIONS.command)
        self.library = self.place("build/" + LIBRARY, OPTIONS.library)

    def place(self, path, source):
        target = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)
        return target

    def run_command(self, *arguments, command=None, environment=None, **more):
        variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("WRITEWATCH_") and name != "LD_PRELOAD"
        }
        variables.update(environment or {})
        return subprocess.run(
            [command or self.command, *arguments],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            universal_newlines=True,
            timeout=60,
            cwd=self.folder,
            check=False,
            **more,
        )

    def assert_mistake(self, result, *parts):
        """Status 64, one line on standard error that has all the parts, nothing else."""
        self.assertEqual(result.returncode, 64, result)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("writewatch: "), result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)


class Help(CommandTest):
    def test_every_verb_explains_itself_on_standard_output(self):
        for verb in VERBS:
            texts = set()
            for arguments in [(verb, "--help"), (verb, "-h"), ("help", verb)]:
                result = self.run_command(*arguments)
                self.assertEqual((result.returncode, result.stderr), (0, ""), arguments)
                self.assertIn("Usage: ", result.stdout)
                self.assertIn("--help", result.stdout)
                # `help VERB` knows the whole name of the command, `VERB --help` the verb.
                texts.add(result.stdout.replace("Usage: writewatch ", "Usage: "))
            self.assertEqual(len(texts), 1, texts)

    def test_the_command_lists_its_verbs(self):
        for arguments in [("--help",), ("-h",), ("help",)]:
            result = self.run_command(*arguments)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            for verb in VERBS:
                self.assertIn("  %s " % verb, result.stdout)

    def test_version_is_the_projects(self):
        for arguments in [("version",), ("--version",)]:
            result = self.run_command(*arguments)
            self.assertEqual(result.stdout, "writewatch %s\n" % OPTIONS.version)
            self.assertEqual(result.returncode, 0)
        document = json.loads(self.run_command("version", "--json").stdout)
        self.assertEqual(
            document, {"schema": "writewatch.version/1", "version": OPTIONS.version}
        )


class Mistakes(CommandTest):
    def test_no_verb(self):
        self.assert_mistake(self.run_command(), "no verb", "allowed: ", *VERBS)

    def test_unknown_verb(self):
        self.assert_mistake(self.run_command("chek"), "unknown verb 'chek'", "allowed: ", *VERBS)
        self.assert_mistake(self.run_command("help", "chek"), "unknown verb 'chek'", *VERBS)

    def test_unknown_option(self):
        self.assert_mistake(self.run_command("--bogus"), "unknown option '--bogus'", "--version")
        for verb in VERBS:
            self.assert_mistake(
                self.run_command(verb, "--bogus"), verb + ": unknown option '--bogus'; allowed: --help"
            )

    def test_unexpected_argument(self):
        self.assert_mistake(self.run_command("check", "extra"), "unexpected argument 'extra'")
        self.assert_mistake(self.run_command("version", "extra"), "unexpected argument 'extra'")
        self.assert_mistake(self.run_command("help", "run", "extra"), "'extra'")

    def test_unknown_word(self):
        self.assert_mistake(
            self.run_command("run", "--log", "loud", "true"),
            "--log: unknown value 'loud'; allowed: none, error, warn, info, debug",
        )
        self.assert_mistake(
            self.run_command("run", "--backend=soft-dirty", "true"),
            "--backend: unknown value 'soft-dirty'; allowed: auto, pagemap-scan, mprotect",
        )
        self.assert_mistake(
            self.run_command("check", environment={"WRITEWATCH_BACKEND": "soft-dirty"}),
            "WRITEWATCH_BACKEND: unknown value 'soft-dirty'; allowed: auto, pagemap-scan, mprotect",
        )

    def test_missing_value(self):
        self.assert_mistake(self.run_command("run", "--log"), "--log needs a value: none|error")
        self.assert_mistake(self.run_command("run", "--log="), "--log needs a value: none|error")
        self.assert_mistake(self.run_command("run", "--log-file=", "true"), "--log-file")

    def test_no_command_to_run(self):
        for arguments in [("run",), ("run", "--"), ("run", "--log", "info"), ("run", "")]:
            self.assert_mistake(self.run_command(*arguments), "no command; usage: writewatch run")


class Check(CommandTest):
    def test_answer_is_the_last_line_and_the_status(self):
        result = self.run_command("check")
        last = result.stdout.splitlines()[-1]
        self.assertEqual(result.stderr, "")
        if result.returncode == 0:
            self.assertEqual(last, "writewatch: pagemap-scan is usable")
        else:
            self.assertEqual(result.returncode, 2)
            self.assertTrue(last.startswith("writewatch: pagemap-scan is not usable: "), last)
            self.assertNotIn("pagemap-scan", os.environ.get("WRITEWATCH_TEST_REQUIRE", ""))

    def check_schema(self, document):
        text = (str, type(None))
        fields = {
            "schema": str,
            "version": str,
            "kernel": str,
            "usable": bool,
            "reason": text,
            "capabilities": list,
            "native": dict,
            "wine": dict,
        }
        self.assertEqual(list(document), list(fields))
        for name, kind in fields.items():
            self.assertIsInstance(document[name], kind, name)
        self.assertEqual(document["schema"], "writewatch.check/1")
        self.assertEqual(document["version"], OPTIONS.version)
        self.assertEqual(document["kernel"], os.uname().release)
        for capability in document["capabilities"]:
            self.assertEqual(
                list(capability), ["name", "supported", "errno", "errno_name", "how", "reason"]
            )
            self.assertIsInstance(capability["supported"], bool)
            self.assertIsInstance(capability["errno"], int)
            self.assertTrue(capability["name"] and capability["how"])
            # Each "no" has a reason; no "yes" has one.
            self.assertEqual(capability["supported"], capability["reason"] is None)
            self.assertEqual(capability["errno"] == 0, capability["errno_name"] is None)
        self.assertTrue(document["capabilities"])
        self.assertEqual(
            document["usable"], all(c["supported"] for c in document["capabilities"])
        )
        self.assertEqual(document["usable"], document["reason"] is None)

    def test_json_agrees_with_the_text(self):
        result = self.run_command("check", "--json")
        document = json.loads(result.stdout)
        self.check_schema(document)
        self.assertEqual(result.returncode, 0 if document["usable"] else 2)
        self.assertEqual(document["wine"]["library"], self.library)
        text = self.run_command("check").stdout
        for capability in document["capabilities"]:
            self.assertIn(capability["name"], text)
            self.assertIn(capability["how"], text)

    def test_forced_backend_is_named(self):
        result = self.run_command(
            "check", "--json", environment={"WRITEWATCH_BACKEND": "mprotect"}
        )
        self.assertEqual(json.loads(result.stdout)["native"], {"backend": "mprotect", "reason": None})

    def test_forbidden_userfaultfd_is_explained(self):
        result = self.run_command("check", preexec_fn=forbid_userfaultfd)
        self.assertEqual(result.returncode, 2, result)
        last = result.stdout.splitlines()[-1]
        self.assertTrue(
            last.startswith("writewatch: pagemap-scan is not usable: userfaultfd: "), last
        )
        self.assertIn("EPERM", last)
        self.assertIn("seccomp", last)
        self.assertIn("native programs: mprotect", result.stdout)

        result = self.run_command("check", "--json", preexec_fn=forbid_userfaultfd)
        document = json.loads(result.stdout)
        self.check_schema(document)
        self.assertEqual(result.returncode, 2)
        first = document["capabilities"][0]
        self.assertEqual((first["name"], first["errno_name"]), ("userfaultfd", "EPERM"))
        self.assertEqual(document["native"]["backend"], "mprotect")
        self.assertIn("EPERM", document["native"]["reason"])

    def test_forced_backend_is_not_replaced(self):
        result = self.run_command(
            "check",
            "--json",
            environment={"WRITEWATCH_BACKEND": "pagemap-scan"},
            preexec_fn=forbid_userfaultfd,
        )
        native = json.loads(result.stdout)["native"]
        self.assertIsNone(native["backend"])
        self.assertIn("EPERM", native["reason"])

    def test_full_disk_is_a_failure(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            result = subprocess.run(
                [self.command, "version"], stdout=full, stderr=subprocess.PIPE, check=False
            )
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"standard output", result.stderr)


class Run(CommandTest):
    def printed(self, *arguments, **more):
        result = self.run_command("run", "--print", *arguments, **more)
        self.assertEqual(result.returncode, 0, result)
        return dict(line.split("=", 1) for line in result.stdout.splitlines())

    def test_library_is_appended_once(self):
        self.assertEqual(self.printed(), {"LD_PRELOAD": self.library})
        for before, after in [
            ("", self.library),
            ("libc.so.6", "libc.so.6:" + self.library),
            ("/a.so:/b.so", "/a.so:/b.so:" + self.library),
            (self.library, self.library),
            (self.library + ":/b.so", self.library + ":/b.so"),
            ("/opt/$LIB/" + LIBRARY, "'/opt/$LIB/%s'" % LIBRARY),
            ("/a.so " + self.library, "'/a.so %s'" % self.library),
            ("/a/not-" + LIBRARY, "/a/not-%s:%s" % (LIBRARY, self.library)),
        ]:
            self.assertEqual(
                self.printed(environment={"LD_PRELOAD": before})["LD_PRELOAD"], after, before
            )

    def test_run_inside_run_changes_nothing(self):
        result = self.run_command("run", "--", self.command, "run", "--print")
        self.assertEqual(result.stdout, "LD_PRELOAD=%s\n" % self.library)

    def test_options_become_variables(self):
        self.assertEqual(
            self.printed("--log", "info", "--log-file", "a b.log", "--backend=mprotect", "--disable"),
            {
                "LD_PRELOAD": self.library,
                "WRITEWATCH_LOG": "info",
                "WRITEWATCH_LOG_FILE": "'%s'" % os.path.join(self.folder, "a b.log"),
                "WRITEWATCH_BACKEND": "mprotect",
                "WRITEWATCH_DISABLE": "1",
            },
        )
        self.assertFalse(os.path.exists(os.path.join(self.folder, "a b.log")))
        result = self.run_command("run", "--log=debug", "--log=info", "env")
        variables = dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)
        self.assertEqual(variables["WRITEWATCH_LOG"], "info") # the last one counts
        self.assertEqual(variables["LD_PRELOAD"], self.library)
        self.assertNotIn("WRITEWATCH_BACKEND", variables)

    def test_printed_environment_is_for_a_shell(self):
        result = self.run_command(
            "run", "--print", environment={"LD_PRELOAD": "/it's/$LIB/a.so"}
        )
        shell = subprocess.run(
            ["sh", "-c", result.stdout + 'printf %s "$LD_PRELOAD"'],
            stdout=subprocess.PIPE,
            universal_newlines=True,
            check=True,
        )
        self.assertEqual(shell.stdout, "/it's/$LIB/a.so:" + self.library)

    def test_print_runs_nothing(self):
        marker = os.path.join(self.folder, "ran")
        self.printed("--", "touch", marker)
        self.assertFalse(os.path.exists(marker))

    def test_library_is_loaded(self):
        result = self.run_command("run", "--", "cat", "/proc/self/maps")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn(self.library, result.stdout)

    def test_arguments_arrive_unchanged(self):
        arguments = ["a b", "", "--help", "--", "-x", "--log", "$HOME", "*"]
        expected = "".join(argument + "\n" for argument in arguments)
        for before in [("run",), ("run", "--"), ("run", "--disable", "--log", "none", "--")]:
            result = self.run_command(*before, "printf", "%s\\n", *arguments)
            self.assertEqual((result.returncode, result.stdout), (0, expected), before)

    def test_status_is_the_commands(self):
        for status in [0, 1, 2, 64, 77, 255]:
            result = self.run_command("run", "--", "sh", "-c", "exit %d" % status)
            self.assertEqual((result.returncode, result.stderr), (status, ""))
        result = self.run_command("run", "--", "sh", "-c", "kill -TERM $$")
        self.assertEqual(result.returncode, -15) # the process itself: no shell in between

    def test_command_that_cannot_run(self):
        result = self.run_command("run", "--", "no-such-command")
        self.assertEqual(result.returncode, 127)
        self.assertIn("cannot execute 'no-such-command'", result.stderr)
        self.assertIn("PATH", result.stderr)
        result = self.run_command("run", "--", "./no-such-command")
        self.assertEqual(result.returncode, 127)
        self.assertNotIn("PATH", result.stderr)
        result = self.run_command("run", "--", self.folder)
        self.assertEqual(result.returncode, 126)
        self.assertIn("cannot execute", result.stderr)

    def test_unusable_kernel_is_said_and_the_command_runs(self):
        result = self.run_command("run", "--", "echo", "ran", preexec_fn=forbid_userfaultfd)
        self.assertEqual((result.returncode, result.stdout), (0, "ran\n"))
        self.assertIn("pagemap-scan is not usable", result.stderr)
        self.assertIn("EPERM", result.stderr)
        result = self.run_command("run", "--disable", "echo", preexec_fn=forbid_userfaultfd)
        self.assertEqual(result.stderr, "")

    def test_log_file_that_would_make_it_wait(self):
        with tempfile.TemporaryDirectory() as folder:
            fifo = os.path.join(folder, "fifo")
            os.mkfifo(fifo)
            result = self.run_command("run", "--log-file", fifo, "true")
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot append to '%s'" % fifo, result.stderr)

    def test_log_file_that_cannot_be_written(self):
        result = self.run_command("run", "--log-file", "no/such/folder", "true")
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot append to 'no/such/folder'", result.stderr)

    def test_opted_out_command_runs_as_it_is(self):
        tool = os.path.join(self.folder, "bin/flatpak")
        os.makedirs(os.path.dirname(tool))
        with open(tool, "w", encoding="ascii") as script:
            script.write('#!/bin/sh\necho "[$LD_PRELOAD]"\n')
        os.chmod(tool, 0o755)
        result = self.run_command("run", "--", tool)
        self.assertEqual((result.returncode, result.stdout), (0, "[]\n"))
        self.assertIn("'flatpak' runs without writewatch: ", result.stderr)


class FindsLibrary(CommandTest):
    def test_installed(self):
        command = self.place("usr/bin/writewatch", OPTIONS.command)
        library = self.place("usr/%s/%s" % (OPTIONS.libdir, LIBRARY), OPTIONS.library)
        entry = library
        # Debian's multiarch directory: ld.so chooses by the architecture of the program.
        if OPTIONS.libdir == "lib/x86_64-linux-gnu":
            entry = "'%s/usr/$LIB/%s'" % (self.folder, LIBRARY)
        result = self.run_command("run", "--print", command=command)
        self.assertEqual(result.stdout, "LD_PRELOAD=%s\n" % entry, result)
        result = self.run_command("run", "--", "cat", "/proc/self/maps", command=command)
        self.assertEqual(result.stderr, "")
        self.assertIn(library, result.stdout)

    def test_in_the_build_directory(self):
        command = self.place("b/shim/tool/writewatch", OPTIONS.command)
        library = self.place("b/wine-integration/" + LIBRARY, OPTIONS.library)
        result = self.run_command("run", "--print", command=command)
        self.assertEqual(result.stdout, "LD_PRELOAD=%s\n" % library)

    def test_nowhere_says_where_it_looked(self):
        command = self.place("alone/bin/writewatch", OPTIONS.command)
        result = self.run_command("run", "--", "true", command=command)
        self.assertEqual(result.returncode, 1)
        self.assertIn(LIBRARY, result.stderr)
        self.assertIn(os.path.join(self.folder, "alone/lib"), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1)
        check = json.loads(self.run_command("check", "--json", command=command).stdout)
        self.assertIsNone(check["wine"]["library"])
        self.assertIn(LIBRARY, check["wine"]["reason"])

    def test_a_path_that_ld_preload_cannot_express(self):
        for folder in ["with space", "with:colon"]:
            command = self.place(folder + "/writewatch", OPTIONS.command)
            self.place(folder + "/" + LIBRARY, OPTIONS.library)
            result = self.run_command("run", "--", "true", command=command)
            self.assertEqual(result.returncode, 1)
            self.assertIn("a space or a colon", result.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", required=True, help="the writewatch command")
    parser.add_argument("--library", required=True, help="a library to stand in for the preload")
    parser.add_argument("--libdir", required=True, help="where libraries are installed, from the prefix")
    parser.add_argument("--version", required=True, help="the project's version")
    parser.add_argument("tests", nargs="*", help="names of tests; default: all")
    parser.parse_args(namespace=OPTIONS)
    unittest.main(argv=[sys.argv[0], *OPTIONS.tests], verbosity=2)


if __name__ == "__main__":
    main()
