#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Usage: run-wine.sh [OPTIONS] PROGRAM.exe [ARGUMENTS...]
#
# Runs a Windows program under Wine in a prefix of its own, and ends everything that it started.
# Arguments that name an existing file by its absolute path reach the program as a Windows path.
#
#   --wine COMMAND   which Wine (default: wine)
#   --preload FILE   a library to preload into Wine; the program is run only if it says that it is
#                    active, else: skipped, or failed if WRITEWATCH_TEST_REQUIRE=pagemap-scan
#   --known DIR      adds "--expect DIR/VERSION-stock.txt" (with --preload: -writewatch.txt), where
#                    VERSION is what this Wine says: wine-8.0
#   --timeout SECS   how long it may take (default: 240)
#   --prefixes DIR   where prefixes are kept (default: wine-prefixes in Meson's build directory, or
#                    in $TMPDIR). Making one costs seconds: it is made once, each run takes a copy
#   -h, --help       this text
#
# Exit status: the program's; 77 if there is no Wine, or the preload cannot work here; 124 timeout.
set -euo pipefail

usage_error()
{
    printf 'run-wine.sh: %s (see run-wine.sh --help)\n' "$*" >&2
    exit 64
}

skip()
{
    printf 'run-wine.sh: skipped: %s\n' "$*" >&2
    exit 77
}

wine=wine
preload=
known=
seconds=240
prefixes=${MESON_BUILD_ROOT:-${TMPDIR:-/tmp}}/wine-prefixes
while [ $# -gt 0 ]; do
    case $1 in
    --wine | --preload | --known | --timeout | --prefixes)
        [ $# -ge 2 ] || usage_error "$1 needs a value"
        case $1 in
        --wine) wine=$2 ;;
        --preload) preload=$(realpath -- "$2") ;;
        --known) known=$(realpath -- "$2") ;;
        --timeout) seconds=$2 ;;
        --prefixes) prefixes=$2 ;;
        esac
        shift 2
        ;;
    -h | --help)
        sed -n '3,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    -*) usage_error "unknown option '$1'" ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || usage_error "no program is named"
program=$(realpath -- "$1")
shift

arguments=()
for argument in "$@"; do
    case $argument in
    /*) [ ! -e "$argument" ] || argument=Z:$argument ;;
    esac
    arguments+=("$argument")
done

command -v "$wine" >/dev/null || skip "there is no command '$wine'; apt-get install wine64"
version=$("$wine" --version 2>/dev/null) || skip "'$wine --version' fails"
version=${version%% *}

if [ -n "$known" ]; then
    list=$known/$version-$([ -n "$preload" ] && echo writewatch || echo stock).txt
    [ ! -e "$list" ] || arguments+=(--expect "Z:$list")
fi

# No display, no debugger, no questions about Mono and Gecko.
export WINEDEBUG=${WINEDEBUG:--all} WINEDLLOVERRIDES="mscoree,mshtml,winedbg=" DISPLAY=
unset LD_PRELOAD

mkdir -p "$prefixes"
template=$prefixes/$version
exec {lock}>"$prefixes/$version.lock"
flock "$lock"
if [ ! -d "$template" ]; then
    rm -rf "$template.new"
    WINEPREFIX=$template.new timeout 120 "$wine" wineboot --init >/dev/null 2>&1 {lock}>&- || true
    WINEPREFIX=$template.new timeout 60 wineserver -w {lock}>&- || true
    [ -f "$template.new/system.reg" ] || skip "$version cannot make a prefix in $template.new"
    mv "$template.new" "$template"
fi
flock -u "$lock"
exec {lock}>&-

# Hard links: a run changes no file of Windows, and wineserver replaces the registry's files.
WINEPREFIX=$(mktemp -d "$prefixes/run-XXXXXX")
export WINEPREFIX
# shellcheck disable=SC2317 # called by the trap
cleanup()
{
    wineserver -k 2>/dev/null || true
    rm -rf "$WINEPREFIX"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
cp -al "$template/." "$WINEPREFIX/"

if [ -n "$preload" ]; then
    export LD_PRELOAD=$preload
    said=$(WRITEWATCH_LOG=info timeout 60 "$wine" cmd /c exit 2>&1 | grep '^writewatch:' || true)
    case $said in
    *pagemap-scan*) printf '%s\n' "${said%%$'\n'*}" ;;
    *)
        [ "${WRITEWATCH_TEST_REQUIRE:-}" != pagemap-scan ] || {
            printf 'run-wine.sh: the preload is not active: %s\n' "${said:-it says nothing}" >&2
            exit 1
        }
        skip "the preload is not active: ${said:-it says nothing}"
        ;;
    esac
fi

status=0
timeout --kill-after=10 "$seconds" "$wine" "$program" "${arguments[@]}" || status=$?
[ $status -ne 124 ] || printf 'run-wine.sh: no end after %s seconds\n' "$seconds" >&2
exit $status
