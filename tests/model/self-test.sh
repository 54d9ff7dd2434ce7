#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Usage: self-test.sh PROGRAM
#
# Shows that the model test can fail: every mistake that it can plant in the system's answers must be
# found, and shrunk to a sequence of at most 8 calls that fails again when it is replayed.
set -euo pipefail

most_calls=8

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

fail()
{
    printf 'self-test.sh: %s\n' "$*" >&2
    exit 1
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mapfile -t breaks < <("$program" --list-breaks)
[ ${#breaks[@]} -ge 10 ] || fail "the program knows ${#breaks[@]} mistakes only"

for mistake in "${breaks[@]}"; do
    status=0
    "$program" --break "$mistake" --seed 1 --rounds 100 --steps 150 >"$scratch/said" || status=$?
    [ $status -ne 77 ] || exit 77
    [ $status -eq 1 ] || fail "$mistake: not found (exit status $status)"
    calls=$(sed -n 's/^shrunk to \([0-9]*\) calls:$/\1/p' "$scratch/said")
    [ -n "$calls" ] || fail "$mistake: found, but not shrunk"
    [ "$calls" -le $most_calls ] || fail "$mistake: shrunk to $calls calls only"

    sed '1,/^shrunk to /d; /^\/\//d' "$scratch/said" >"$scratch/calls"
    status=0
    "$program" --replay "$scratch/calls" --break "$mistake" >"$scratch/again" || status=$?
    [ $status -eq 1 ] || fail "$mistake: the shrunk sequence does not fail when replayed"
    status=0
    "$program" --replay "$scratch/calls" >"$scratch/honest" || status=$?
    [ $status -eq 0 ] || fail "$mistake: the shrunk sequence fails without the mistake, too"
    printf '%-20s found, %s calls\n' "$mistake" "$calls"
done

# What --print writes, --replay reads.
"$program" --seed 7 --print >"$scratch/calls"
"$program" --replay "$scratch/calls" >"$scratch/again" || fail "a printed sequence cannot be replayed"
