#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What list, show, record, report and top's samples say about a program whose memory we know; that none
of them changes it; and what they answer when there is nothing to see."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from subject import PAGE, Subject, leave_without_tracking, run

OPTIONS = argparse.Namespace()


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="writewatch-inspect-")
        self.addCleanup(shutil.rmtree, self.folder)

    def subject(self, **more):
        subject = Subject(OPTIONS.subject, **more)
        self.addCleanup(subject.__exit__)
        return subject

    def command(self, *arguments, **more):
        return run(OPTIONS.command, *[str(argument) for argument in arguments], **more)

    def good(self, *arguments, **more):
        result = self.command(*arguments, **more)
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual(result.stderr, "", result)
        return result.stdout

    def document(self, *arguments):
        return json.loads(self.good(*arguments, "--json"))

    def process_of(self, subject):
        document = self.document("list")
        self.assertEqual(document["schema"], "writewatch.list/1")
        return next(entry for entry in document["processes"] if entry["pid"] == subject.pid)

    def assert_failure(self, result, *parts):
        self.assertEqual(result.returncode, 1, result)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("writewatch: "), result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)


class List(Case):
    def test_a_process_appears_with_its_regions_and_counters(self):
        subject = self.subject()
        address = subject("watch", 16)
        subject("write", 3, 2)
        self.assertEqual(subject.pages("get-reset"), [3, 4])
        subject("get")
        subject("reset")
        process = self.process_of(subject)
        self.assertEqual(os.path.basename(process["image"]), os.path.basename(OPTIONS.subject))
        self.assertEqual(process["backend"], "pagemap-scan")
        self.assertEqual(process["version"], OPTIONS.version)
        self.assertIsNone(process["windows_pid"])
        self.assertEqual(process["bytes"], 16 * PAGE)
        (region,) = process["regions"]
        self.assertEqual(region["address"], address)
        self.assertEqual(region["bytes"], 16 * PAGE)
        self.assertEqual(region["protection"], "read/write")
        self.assertLess(abs(region["created_ns"] * 1e-9 - time.time()), 60)
        counters = region["counters"]
        self.assertEqual(counters["gets_with_reset"], 1)
        self.assertEqual(counters["gets"], 1)
        self.assertEqual(counters["resets"], 1)
        self.assertEqual(counters["pages"], 2)

        text = self.good("list", "--all")
        block = text.split("%d %s" % (subject.pid, process["image"]))[1].split("\n\n")[0]
        self.assertIn("pagemap-scan", block)
        self.assertRegex(block, r"%s +64 KiB +read/write" % address)
        self.assertRegex(text.splitlines()[-1], r"^\d[\d,]* process(es)?, [\d,]+ regions?, .* watched, ")

    def test_a_released_region_is_gone_and_its_counters_stay_in_the_total(self):
        subject = self.subject()
        subject("watch", 4)
        subject("write", 0, 4)
        subject("get-reset")
        subject("free")
        process = self.process_of(subject)
        self.assertEqual(process["regions"], [])
        self.assertEqual(process["total"]["pages"], 4)

    def test_nothing_to_list_is_said_with_its_reasons(self):
        # A shared memory file system of its own: others may be watching on this machine.
        prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
                  'mount -t tmpfs none /dev/shm && exec "$@"', "sh"]
        if run(*prefix, "true").returncode != 0:
            print("left out: no mount namespace here, to have an empty registry", file=sys.stderr)
            return
        result = run(*prefix, OPTIONS.command, "list")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for part in ("No process", "MEM_WRITE_WATCH", "writewatch run", "WRITEWATCH_REGISTRY=0"):
            self.assertIn(part, result.stdout)
        result = run(*prefix, OPTIONS.command, "list", "--json")
        self.assertEqual(json.loads(result.stdout), {"schema": "writewatch.list/1", "processes": []})
        result = run(*prefix, OPTIONS.command, "top", "--interval", "0.1")
        self.assertRegex(result.stdout, r"^\d\d:\d\d:\d\d  0 processes, 0 regions\n$")


class Show(Case):
    def prepared(self):
        subject = self.subject()
        address = subject("watch", 128)
        subject("write", 0, 10)
        subject("get-reset")
        subject("read", 20, 5)
        subject("write", 5, 3)
        subject("write", 64, 1)
        return subject, address

    def test_the_map_shows_each_page(self):
        subject, address = self.prepared()
        text = self.good("show", subject.pid, address)
        lines = [line for line in text.splitlines() if "|" in line]
        self.assertEqual(lines[0].strip(), "%s|%s|" % (address, ".....###..          zzzzz".ljust(64)))
        self.assertEqual(lines[1].strip(), "%#x|%s|" % (int(address, 16) + 64 * PAGE, "#".ljust(64)))
        self.assertNotIn("\033", text)
        self.assertRegex(text, r"(?m)^  # +4 +3\.1 %  written since the last reset$")
        self.assertRegex(text, r"(?m)^  z +5 ")
        self.assertRegex(text, r"(?m)^    +112 +87\.5 %  never touched$")
        # With one region, no address is needed; any in the region will do; without 0x, too.
        self.assertEqual(self.good("show", subject.pid).split("region", 1)[1], text.split("region", 1)[1])
        inside = "%x" % (int(address, 16) + 5000)
        self.assertEqual(self.good("show", subject.pid, inside), text)

    def test_colours_are_chosen(self):
        subject, address = self.prepared()
        painted = self.good("show", subject.pid, address, "--color", "always")
        self.assertIn("\033[48;5;226", painted)
        self.assertEqual(self.good("show", subject.pid, address, "--color=never"),
                         self.good("show", subject.pid, address))

    def test_runs_in_json(self):
        subject, address = self.prepared()
        document = self.document("show", subject.pid, address)
        self.assertEqual(document["schema"], "writewatch.show/1")
        (region,) = document["processes"][0]["regions"]
        runs = [(int(run["address"], 16) // PAGE - int(address, 16) // PAGE, run["pages"], run["states"])
                for run in region["runs"]]
        self.assertEqual(runs, [
            (0, 5, ["present"]),
            (5, 3, ["written", "present"]),
            (8, 2, ["present"]),
            (20, 5, ["present", "zero"]),
            (64, 1, ["written", "present"]),
        ])
        self.assertEqual(region["pages"], {"written": 4, "present": 16, "swapped": 0, "zero": 5, "file": 0,
                                           "mapped_elsewhere": 0, "untouched": 112})

    def test_several_regions_are_a_table(self):
        subject, first = self.prepared()
        second = subject("watch", 8)
        subject("write", 0, 8)
        text = self.good("show", subject.pid)
        self.assertRegex(text, r"(?m)^  %s +512 KiB +read/write +4 +16 +0 +5 " % first)
        self.assertRegex(text, r"(?m)^  %s +32 KiB +read/write +8 +8 +0 +0 " % second)

    def test_pages_shared_after_a_fork_are_seen(self):
        subject = self.subject()
        address = subject("watch", 4)
        subject("write", 0, 2)
        self.assertNotIn("&", self.good("show", subject.pid, address).split("|")[1])
        subject("fork")
        self.assertEqual(self.good("show", subject.pid, address).split("|")[1][:4], "##  ")
        counts = self.document("show", subject.pid, address)["processes"][0]["regions"][0]["pages"]
        self.assertEqual(counts["mapped_elsewhere"], 2)

    def test_the_fallback_does_not_pretend_to_know_what_was_written(self):
        subject = self.subject(environment={"WRITEWATCH_BACKEND": "mprotect"})
        address = subject("watch", 4)
        subject("write", 0, 2)
        self.assertIn("not known", self.good("show", subject.pid, address))
        (region,) = self.document("show", subject.pid)["processes"][0]["regions"]
        self.assertIsNone(region["pages"]["written"])
        self.assertEqual(region["pages"]["present"], 2)


class Untouched(Case):
    """Looking changes nothing: the page table is the same, and so is what the program is told."""

    def look_in_every_way(self, subject, address):
        recording = os.path.join(self.folder, "r.wwrec")
        for arguments in (["list"], ["list", "--json"], ["show", subject.pid], ["show", subject.pid, address],
                          ["show", subject.pid, address, "--json"],
                          ["top", subject.pid, "--samples", 3, "--interval", 0.05],
                          ["record", "-q", "-o", recording, "--interval", 1, "--duration", 0.3, subject.pid]):
            self.good(*arguments)

    def test_written_pages_stay_written_and_clean_ones_clean(self):
        subject = self.subject()
        address = subject("watch", 64)
        subject("write", 0, 32)
        subject("get-reset")
        subject("write", 7, 3)
        subject("write", 40, 2)
        subject("read", 50, 4)
        before = subject.page_table(int(address, 16), 64)
        # Armed pages are there, and pages that are not.
        self.assertEqual(sum(entry & 1 for entry in before), 29)
        self.look_in_every_way(subject, address)
        self.assertEqual(subject.page_table(int(address, 16), 64), before)
        written = [7, 8, 9, 40, 41]
        self.assertEqual(subject.pages("get"), written)
        self.assertEqual(subject.pages("get-reset"), written)
        self.assertEqual(subject.pages("get"), [])
        self.look_in_every_way(subject, address)
        self.assertEqual(subject.pages("get"), [])
        # What others did to the counters: nothing.
        self.assertEqual(self.process_of(subject)["regions"][0]["counters"]["gets_with_reset"], 2)


class Samples(Case):
    def test_rates_and_written_pages(self):
        subject = self.subject()
        address = subject("watch", 64)
        subject("write", 0, 5)
        text = self.good("top", subject.pid, "--interval", 0.1)
        self.assertRegex(text, r"(?m)^ *%d +\S+ +%s +256 KiB +0 +0 +- +\S+ +0\.0 %% +5$" % (subject.pid, address))
        process = subprocess.Popen(
            [OPTIONS.command, "top", str(subject.pid), "--json", "--samples", "2", "--interval", "0.5"],
            stdout=subprocess.PIPE, universal_newlines=True)
        samples = [json.loads(process.stdout.readline())]
        subject("gets", 200)
        samples.append(json.loads(process.stdout.readline()))
        self.assertEqual(process.wait(), 0)
        process.stdout.close()
        for sample in samples:
            self.assertEqual(sample["schema"], "writewatch.top/1")
        self.assertEqual(samples[0]["regions"][0]["written_pages"], 5)
        self.assertEqual(samples[1]["regions"][0]["written_pages"], 0)
        self.assertGreater(samples[1]["regions"][0]["gets_per_second"], 200)

    def test_the_end_of_the_process_ends_it(self):
        subject = self.subject()
        subject("watch", 1)
        process = subprocess.Popen([OPTIONS.command, "top", str(subject.pid), "--samples", "1000", "--interval", "0.1"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        process.stdout.readline()
        subject.process.kill()
        subject.process.wait()
        _, errors = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 0)
        self.assertIn("process %d has ended" % subject.pid, errors)


class Record(Case):
    def setUp(self):
        super().setUp()
        self.recording = os.path.join(self.folder, "a.wwrec")

    def start(self, *arguments):
        return subprocess.Popen([OPTIONS.command, "record", "-o", self.recording, *map(str, arguments)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)

    def report(self):
        return self.document("report", self.recording)

    def test_gets_pages_and_writes_are_in_the_report(self):
        subject = self.subject()
        subject("watch", 16)
        subject("gets", 5) # before the recording: not in it
        address = subject("watch", 256)
        subject("write", 0, 100)
        subject("get-reset") # neither
        recorder = self.start(subject.pid, "--interval", 2)
        time.sleep(0.5)
        for round_ in range(10):
            subject("write", round_ * 10, 10)
            time.sleep(0.05)
            subject("get-reset")
        extra = subject("watch", 8)
        subject("write", 0, 8)
        time.sleep(0.1)
        subject("free")
        time.sleep(0.1)
        recorder.send_signal(signal.SIGINT)
        _, errors = recorder.communicate(timeout=20)
        self.assertEqual(recorder.returncode, 0, errors)
        self.assertIn("3 regions, 10 gets, 100 pages", errors)
        report = self.report()
        self.assertEqual(report["schema"], "writewatch.report/1")
        self.assertEqual((report["totals"]["gets"], report["totals"]["pages"]), (10, 100))
        self.assertEqual(report["end"], "when the recorder was stopped")
        first, second, _ = report["regions"] # by pages
        self.assertEqual((first["base"], first["existed"]), (address, True))
        self.assertEqual((second["base"], second["existed"]), (extra, False))
        self.assertIsNotNone(second["to_ns"])
        # Each write waited long enough to be seen.
        self.assertEqual(first["news"], 100)
        self.assertEqual(second["news"], 8)
        self.assertEqual(sum(report["series"]["gets"]), 10)
        self.assertEqual(report["pages_per_call"]["percentiles"]["p50"], 10)

    def test_the_process_may_end(self):
        subject = self.subject()
        subject("watch", 4)
        recorder = self.start(subject.pid)
        time.sleep(0.3)
        subject.process.kill()
        subject.process.wait()
        recorder.communicate(timeout=20)
        self.assertEqual(recorder.returncode, 0)
        self.assertEqual(self.report()["end"], "when what was watched ended")

    def test_a_command_is_recorded_with_what_it_starts(self):
        # Two shells between: the second makes itself independent, as Wine's processes do.
        script = "setsid sh -c '%s --heap 4 --rounds 80000 >&2; exit 0' & wait; exit 7" % OPTIONS.collector
        recorder = self.start("--", "sh", "-c", script)
        _, errors = recorder.communicate(timeout=60)
        self.assertEqual(recorder.returncode, 7, errors)
        report = self.report()
        (process,) = report["processes"]
        self.assertEqual(os.path.basename(process["image"]), "collector")
        self.assertIn("setsid", report["command"])
        self.assertEqual(report["regions"][0]["bytes"], 4 << 20)
        # Those of its last millisecond may be missed: the region goes, and its counters with it.
        self.assertGreater(report["totals"]["gets"], 30)

    def test_the_commands_own_options_and_failures_are_its_own(self):
        result = self.command("record", "-q", "-o", self.recording, "--", "printf", "%s", "--output")
        self.assertEqual((result.returncode, result.stdout), (0, "--output"))
        self.assertIn("no write watch was seen", result.stderr)
        self.assertEqual(self.command("record", "-o", self.recording, "--", "no-such-command").returncode, 127)
        self.assertEqual(self.command("record", "-o", self.recording, "--", self.folder).returncode, 126)

    def test_damaged_recordings_are_refused(self):
        subject = self.subject()
        subject("watch", 4)
        self.good("record", "-q", "-o", self.recording, "--duration", 0.1, subject.pid)
        with open(self.recording, "rb") as file:
            whole = file.read()
        for damaged, part in [(whole[:-3], "the recorder was killed"), (whole + b"\0\0", "damaged"), (b"", "not a recording"),
                              (b"<html>", "not a recording"), (b"WWREC\r\n\x1a\x07" + whole[9:], "format 7")]:
            with open(self.recording, "wb") as file:
                file.write(damaged)
            self.assert_failure(self.command("report", self.recording), self.recording, part)

    def test_where_files_cannot_be(self):
        subject = self.subject()
        subject("watch", 4)
        self.assert_failure(self.command("record", "-o", self.folder + "/no/file", subject.pid), "cannot write")
        self.assert_failure(self.command("record", "-q", "-o", "/dev/full", "--duration", 0.1, subject.pid), "No space")
        self.assert_failure(self.command("report", self.folder + "/none"), "No such file")
        self.assert_failure(self.command("report", self.folder), "directory")
        self.good("record", "-q", "-o", self.recording, "--duration", 0.1, subject.pid)
        self.assert_failure(self.command("report", self.recording, "-o", "/dev/full"), "No space")

    def test_names_of_outputs(self):
        subject = self.subject()
        subject("watch", 4)
        self.good("record", "-q", "-o", self.recording, "--duration", 0.1, subject.pid)
        page = os.path.join(self.folder, "a.html")
        self.assertEqual(self.good("report", self.recording), page + "\n")
        with open(page, encoding="utf-8") as file:
            self.assertEqual(self.good("report", self.recording, "-o", "-"), file.read())

    def test_a_hostile_name_stays_text(self):
        folder = os.path.join(self.folder, "<script>alert(1)<")
        os.makedirs(folder)
        name = os.path.join(folder, "script>.exe")
        shutil.copy(OPTIONS.subject, name)
        library_path = os.path.dirname(OPTIONS.library)
        subject = Subject(name, environment={"LD_LIBRARY_PATH": library_path})
        self.addCleanup(subject.__exit__)
        subject("watch", 4)
        self.good("record", "-q", "-o", self.recording, "--duration", 0.1, subject.pid)
        page = self.good("report", self.recording, "-o", "-")
        self.assertEqual(page.count("<script"), 2)
        self.assertIn("\\u003cscript>alert(1)", page)


class Refusals(Case):
    def test_each_says_what_to_do(self):
        for verb in (["show"], ["top"], ["record", "-q", "-o", os.path.join(self.folder, "x")]):
            self.assert_failure(self.command(*verb, 2 ** 22 + 1), "there is no process 4194305", "writewatch list")
            self.assert_failure(self.command(*verb, os.getpid()), "publishes no write watches", "writewatch run",
                                "WRITEWATCH_REGISTRY=0")
            result = self.command(*verb, "firefox")
            self.assertEqual(result.returncode, 64, result)
            self.assertIn("no process number", result.stderr)
            self.assertFalse(os.path.exists(os.path.join(self.folder, "x")))
        result = self.command("show")
        self.assertEqual(result.returncode, 64)
        self.assertIn("PID", result.stderr)
        for arguments in ([], [1, "--", "true"]):
            result = self.command("record", *arguments)
            self.assertEqual(result.returncode, 64)
            self.assertIn("needs either PID or -- COMMAND", result.stderr)

    def test_addresses(self):
        subject = self.subject()
        subject("watch", 4)
        self.assert_failure(self.command("show", subject.pid, "0x1000"), "no watched region", "0x1000")
        result = self.command("show", subject.pid, "heap")
        self.assertEqual(result.returncode, 64)
        self.assertIn("'heap' is no address", result.stderr)

    def test_a_hidden_process(self):
        subject = self.subject(environment={"WRITEWATCH_REGISTRY": "0"})
        subject("watch", 4)
        self.assert_failure(self.command("show", subject.pid), "WRITEWATCH_REGISTRY=0")

    def test_another_users_process(self):
        if os.geteuid() != 0:
            print("left out: only root can start another user's process", file=sys.stderr)
            return
        process = subprocess.Popen(["sleep", "60"], preexec_fn=lambda: os.setuid(65534))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        time.sleep(0.1)
        self.assert_failure(self.command("show", process.pid), "belongs to user 65534", "as that user")

    def test_no_right_to_trace(self):
        become = None
        if os.geteuid() == 0:
            # Root may look at everything: both become another user.
            def become():
                os.setgid(65534)
                os.setuid(65534)
            result = run("true", preexec_fn=become)
            if not os.access(OPTIONS.command, os.X_OK) or result.returncode != 0:
                return
        try:
            subject = self.subject(preexec_fn=become)
        except PermissionError:
            print("left out: another user may not execute the build directory's programs", file=sys.stderr)
            return
        address = subject("watch", 4)
        self.assertTrue(self.command("show", subject.pid, address, preexec_fn=become).returncode == 0)
        subject("hide")
        result = self.command("show", subject.pid, address, preexec_fn=become)
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("PTRACE_MODE_READ", result.stderr)
        # Counters are still there.
        self.assertEqual(self.command("list", preexec_fn=become).returncode, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", required=True, help="the writewatch command")
    parser.add_argument("--subject", required=True, help="subject.cpp's program")
    parser.add_argument("--collector", required=True, help="the demo's native program")
    parser.add_argument("--library", required=True, help="libwritewatch-win32")
    parser.add_argument("--version", required=True, help="the project's version")
    parser.add_argument("tests", nargs="*", help="names of tests; default: all")
    parser.parse_args(namespace=OPTIONS)
    leave_without_tracking(OPTIONS.command)
    unittest.main(argv=[sys.argv[0], *OPTIONS.tests], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
