#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Usage: self-test.sh PROGRAM
#
# PROGRAM is the suite with the rules of rules.cpp. Shows that each outcome is reported as what it is, that a
# crash is laid to its rule and stops no other, and that a list of known failures works both ways.
set -euo pipefail

case ${1:-} in
-h | --help)
    sed -n '3,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
esac
[ $# -eq 1 ] || {
    printf 'self-test.sh: one program is needed (see self-test.sh --help)\n' >&2
    exit 64
}
program=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# run STATUS ARGUMENTS...: the program ends with STATUS; what it says goes to $scratch/said.
run()
{
    local expected=$1 status=0
    shift
    "$program" "$@" >"$scratch/said" 2>"$scratch/errors" || status=$?
    [ $status -eq "$expected" ] || {
        cat "$scratch/said" "$scratch/errors" >&2
        printf 'self-test.sh: %s: exit status %s, expected %s\n' "$*" $status "$expected" >&2
        exit 1
    }
}

says()
{
    grep -Eq -- "$1" "$scratch/said" || {
        cat "$scratch/said" >&2
        printf 'self-test.sh: nothing matches: %s\n' "$1" >&2
        exit 1
    }
}

run 1
says '^PASS  outcome.passes$'
says '^FAIL  outcome.fails$'
says 'rules.cpp:[0-9]+: the number: expected 2, got 1$'
says 'does not hold: a second statement$'
says '^FAIL  outcome.fails_a_precondition$'
says '^FAIL  outcome.throws$'
says 'exception: thrown$'
says '^FAIL  outcome.crashes$'
says 'ended its process: signal [0-9]+$|ended its process: exit status [1-9]'
says '^FAIL  outcome.ends_its_process$'
says '^SKIP  outcome.skips$'
says '^FAIL  outcome.fails_then_skips$'
says '^TODO  outcome.is_a_todo$'
says '^FAIL  outcome.is_a_todo_that_passes$'
says '^PASS  outcome.passes_after_all_that$'
says '^N/A   outcome.cannot_be_asked$'
says ': 2 passed, 7 failed, 1 skipped \(0 known failures, 1 not applicable, 1 todo\)$'

run 0 --rule outcome.passes
says ': 1 passed, 0 failed, 0 skipped '
run 0 --rule 'outcome.pass*' --rule outcome.skips
says ': 2 passed, 0 failed, 1 skipped '
run 0 --rule 'outcome.pass*' --except outcome.passes
says ': 1 passed, 0 failed, 0 skipped '
run 1 --except outcome.passes
says ': 1 passed, 7 failed, 1 skipped '
run 64 --rule outcome.passes --except 'outcome.*'
run 64 --rule 'no.such*'
run 64 --no-such-option

cat >"$scratch/all" <<'END'
# A comment.
outcome.fails                  is meant to
outcome.fails_a_precondition   is meant to
outcome.throws                 is meant to   # with a comment
outcome.crashes                is meant to
outcome.ends_its_process       is meant to
outcome.fails_then_skips       is meant to
!outcome.is_a_todo_that_passes would be an error
END
run 0 --expect "$scratch/all"
says '^KNOWN outcome.crashes$'
says 'known failure, not run: would be an error$'
says ': 2 passed, 0 failed, 1 skipped \(7 known failures, '

printf 'outcome.passes is not a failure\n' >"$scratch/pass"
run 1 --expect "$scratch/pass" --rule outcome.passes
says '^UNEXPECTED PASS outcome.passes$'
printf 'outcome.no_such_rule has a reason\n' >"$scratch/unknown"
run 64 --expect "$scratch/unknown"
printf 'outcome.fails\n' >"$scratch/bare"
run 64 --expect "$scratch/bare"
run 64 --expect "$scratch/missing"

run 1 --json
says '"name": "outcome.crashes".*"outcome": "failed"'
says '"schema": "writewatch.conformance/1"'
if command -v python3 >/dev/null; then
    python3 -m json.tool "$scratch/said" >/dev/null
fi
