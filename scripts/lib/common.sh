# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the scripts share. Source it after `set -euo pipefail`:
#     . "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
program=scripts/$(basename "$0")

# A heading with the time, so that a log tells what took how long. All messages go to stderr.
section()
{
    printf '\n== %s  %s\n' "$(date -u +%H:%M:%S)" "$*" >&2
}

note()
{
    printf '   %s\n' "$*" >&2
}

warn()
{
    printf '%s: warning: %s\n' "$program" "$*" >&2
}

die()
{
    printf '%s: %s\n' "$program" "$*" >&2
    exit 1
}

# Wrong usage: one line that says what was wrong and what is allowed.
usage_error()
{
    printf '%s: %s (see %s --help)\n' "$program" "$*" "$program" >&2
    exit 64
}

# need_value OPTION COUNT: COUNT arguments are left, OPTION needs one after itself.
need_value()
{
    [ "$2" -ge 2 ] || usage_error "$1 needs a value"
}

# The first comment block of a script (after the SPDX line) is its help.
show_help()
{
    awk 'NR <= 2 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"
}

# configure DIRECTORY [MESON OPTIONS]: sets up a build directory, or changes the options of one that is
# set up. Packages installed since then may offer what was missing before (a compiler for Windows).
configure()
{
    local directory=$1
    shift
    if [ ! -f "$directory/build.ninja" ]; then
        meson setup "$directory" "$root" "$@" >&2
    elif [ /var/lib/dpkg/status -nt "$directory/build.ninja" ]; then
        meson setup --reconfigure "$directory" "$root" "$@" >&2
    elif [ $# -gt 0 ]; then
        meson configure "$directory" "$@" >&2
    fi
}

compile()
{
    ninja -C "$1" >&2
}
