#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Usage: same-rules.sh NATIVE-PROGRAM COMMAND [ARGUMENTS...]
#
# COMMAND runs the Windows program under Wine (tests/integration/wine/run-windows).
#
# Every rule exists on every platform, if only to say that it is not applicable there: both programs
# list the same names.
set -euo pipefail

case ${1:-} in
-h | --help)
    sed -n '3,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
esac
[ $# -ge 2 ] || {
    printf 'same-rules.sh: two programs are needed (see same-rules.sh --help)\n' >&2
    exit 64
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$1" --list >"$scratch/native"
shift
status=0
"$@" --list >"$scratch/windows" || status=$?
[ $status -eq 0 ] || exit $status

for list in native windows; do
    # Wine 10.0 may add a line of its own ("error: XDG_RUNTIME_DIR …").
    awk '$1 ~ /^[a-z0-9_]+\.[a-z0-9_]+$/ { print $1 }' "$scratch/$list" | sort >"$scratch/$list.names"
    [ -s "$scratch/$list.names" ] || {
        printf 'same-rules.sh: the %s program lists no rule\n' "$list" >&2
        exit 1
    }
done
diff -u --label native --label windows "$scratch/native.names" "$scratch/windows.names"
