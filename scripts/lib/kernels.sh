# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Where kernels are kept and what they are called: shared by scripts/kernel and scripts/vmtest. Source it
# after common.sh.

# depmod, modprobe and mkfs.ext4 are in directories that Debian leaves out of an ordinary user's path.
PATH=$PATH:/usr/sbin:/sbin

# Outside the tree: the source and the builds are gigabytes, and outlive a checkout.
kernel_cache=${WRITEWATCH_KERNEL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/writewatch/kernel}

# build_directory FLAVOUR
build_directory()
{
    printf '%s/build-%s\n' "$kernel_cache" "$1"
}

# download_package PACKAGE[=VERSION] DIRECTORY: fetches a .deb with apt, which checks its signature, and prints
# its path. Nothing is installed.
download_package()
{
    local package=${1%%=*} version=${1#"${1%%=*}"} before after
    mkdir -p "$2"
    before=$(find "$2" -name "${package}_*.deb" | wc -l)
    if [ "$before" = 0 ] || [ -n "$version" ]; then
        (cd "$2" && apt-get download -q "$package$version" >&2) ||
            die "apt-get cannot download $package$version (is apt-get update needed?)"
    fi
    # apt writes the colon of an epoch as %3a; none of these packages has one.
    after=$(find "$2" -name "${package}_${version:+${version#=}_}*.deb" | sort -V | tail -n 1)
    [ -n "$after" ] || die "apt-get left no ${package} in $2"
    printf '%s\n' "$after"
}

# stock_image SERIES: unpacks Debian's newest cloud kernel of 6.1 or 6.12 once; prints the directory that holds
# vmlinuz and lib/modules. To be called in a subshell, $(stock_image …): it holds a lock until its shell ends,
# since guests are started side by side.
stock_image()
{
    local series=$1 directory=$kernel_cache/images/debian-$1 package deb lock
    mkdir -p "$kernel_cache"
    exec {lock}>"$kernel_cache/images.lock"
    flock "$lock"
    if [ ! -e "$directory/vmlinuz" ]; then
        package=$(apt-cache pkgnames "linux-image-$series" | grep -E "^linux-image-${series//./[.]}[.][0-9].*cloud-amd64\$" |
            sort -V | tail -n 1)
        [ -n "$package" ] || die "apt knows no linux-image-$series…cloud-amd64 (is apt-get update needed?)"
        note "downloading $package"
        deb=$(download_package "$package" "$kernel_cache/download")
        rm -rf "$directory"
        mkdir -p "$directory.new"
        dpkg-deb --extract "$deb" "$directory.new"
        # Some kernels cannot unpack modules themselves.
        find "$directory.new/lib/modules" -name '*.ko.xz' -exec xz --decompress {} +
        depmod --basedir "$directory.new" "$(basename "$directory.new"/lib/modules/*)"
        cp "$directory.new"/boot/vmlinuz-* "$directory.new/vmlinuz"
        printf '%s\n' "$(basename "$deb" .deb)" >"$directory.new/package"
        mv "$directory.new" "$directory"
    fi
    printf '%s\n' "$directory"
}
