#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the shells complete: every verb and every option that --help names, words of options, processes."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from subject import clean_environment, run

OPTIONS = argparse.Namespace()


def help_text(*verb):
    return run(OPTIONS.command, "help", *verb).stdout


def verbs():
    return set(re.findall(r"^  ([a-z]+) {2,}", help_text().split("Subcommands:")[1], re.M))


def options(*verb):
    return set(re.findall(r"^ +(?:-\w,)?(--[a-z-]+)", help_text(*verb), re.M))


class Shell:
    """Common to the shells: complete(words) is what a shell offers for the last of the words."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="writewatch-completion-")
        os.symlink(os.path.abspath(OPTIONS.command), os.path.join(cls.folder, "writewatch"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def shell(self, *command):
        path = self.folder + ":" + os.environ["PATH"]
        result = subprocess.run(command, env=clean_environment(PATH=path, HOME=self.folder, TERM="dumb"), cwd=self.folder,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                universal_newlines=True, timeout=60, check=False)
        self.assertEqual(result.stderr, "", result)
        return result.stdout

    def test_every_verb(self):
        self.assertLessEqual(verbs(), self.complete("writewatch", ""))
        self.assertEqual(self.complete("writewatch", "sho"), {"show"})

    def test_every_option_of_every_verb(self):
        self.assertLessEqual(options(), self.complete("writewatch", "--"))
        for verb in sorted(verbs()):
            self.assertLessEqual(options(verb), self.complete("writewatch", verb, "--"), verb)

    def test_words_of_an_option(self):
        self.assertEqual(self.complete("writewatch", "show", "--color", ""), {"auto", "always", "never"})
        self.assertEqual(self.complete("writewatch", "run", "--backend", "page"), {"pagemap-scan"})


class Bash(Shell, unittest.TestCase):
    def complete(self, *words):
        script = """
            source %s
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
            compopt() { :; }
            _writewatch
            printf '%%s\\n' "${COMPREPLY[@]}"
        """ % OPTIONS.bash
        return set(self.shell("bash", "-c", script, "bash", *words).split())

    def test_files_and_commands(self):
        open(os.path.join(self.folder, "a b.wwrec"), "w", encoding="ascii").close()
        script = "source %s; compopt() { :; }; COMP_WORDS=(writewatch report a); COMP_CWORD=2; _writewatch; printf '%%s|' \"${COMPREPLY[@]}\""
        self.assertEqual(self.shell("bash", "-c", script % OPTIONS.bash), "a b.wwrec|")
        self.assertIn("printf", self.complete("writewatch", "run", "printf"))


class Fish(Shell, unittest.TestCase):
    def complete(self, *words):
        line = " ".join(words)
        script = "source %s; complete -C '%s'" % (OPTIONS.fish, line)
        return {row.split("\t")[0] for row in self.shell("fish", "--no-config", "-c", script).splitlines()}


class Zsh(Shell, unittest.TestCase):
    def complete(self, *words):
        # zsh completes in a terminal only: a zsh of its own in a pseudo terminal (zpty), whose
        # answers go through compadd.
        site = os.path.join(self.folder, "site")
        os.makedirs(site, exist_ok=True)
        shutil.copy(OPTIONS.zsh, os.path.join(site, "_writewatch"))
        script = r"""
            zmodload zsh/zpty
            zpty shell zsh -f -i
            zpty -w shell "PROMPT= RPROMPT=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -d $1/dump"
            zpty -w shell 'unsetopt zle_bracketed_paste 2>/dev/null
                compadd () {
                    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return $?; fi
                    typeset -a __hits
                    builtin compadd -A __hits "$@"
                    builtin compadd "$@"
                    local hit; for hit in $__hits; do print -r -- "HIT:$hit"; done
                }
                zstyle ":completion:*" list-max 1000
                LISTMAX=1000
                finish () { print -r -- "FINI""SHED"; zle kill-whole-line }
                zle -N finish; bindkey "^F" finish; bindkey "^I" complete-word'
            zpty -w shell 'print READ""Y'
            local chunk
            while zpty -r shell chunk; do [[ $chunk == *READY* ]] && break; done
            zpty -w -n shell "$2"$'\t'$'\6'
            local all=
            while zpty -r shell chunk; do all+=$chunk; [[ $chunk == *FINISHED* ]] && break; done
            zpty -d shell
            print -r -- $all
        """
        text = self.shell("timeout", "30", "zsh", "-f", "-c", script, "zsh", site, " ".join(words))
        return set(re.findall(r"HIT:(\S+)", text))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shell", choices=["bash", "fish", "zsh"])
    parser.add_argument("--command", required=True, help="the writewatch command")
    for shell in ("bash", "fish", "zsh"):
        parser.add_argument("--" + shell, required=True, type=os.path.abspath, help="its completion")
    parser.parse_args(namespace=OPTIONS)
    if shutil.which(OPTIONS.shell) is None:
        print("skipped: %s is not installed (scripts/setup shells)" % OPTIONS.shell, file=sys.stderr)
        return 77
    unittest.main(argv=[sys.argv[0], OPTIONS.shell.capitalize()], verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
