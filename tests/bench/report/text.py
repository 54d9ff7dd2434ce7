# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbers as a reader wants them."""


def significant(value, digits=3):
    """With so many digits, and never an exponent."""
    if value == 0:
        return "0"
    magnitude = abs(value)
    decimals = 0
    while magnitude < 10 ** (digits - 1) and decimals < digits:
        magnitude *= 10
        decimals += 1
    return f"{value:,.{decimals}f}"


def duration(ns):
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= scale:
            return f"{significant(ns / scale)} {unit}"
    return f"{significant(ns)} ns"


def tick(ns):
    """For an axis: powers of ten, without decimals."""
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= scale * 0.999:
            return f"{ns / scale:,.0f} {unit}"
    return f"{ns:,.3g} ns"


def size(kib_value):
    """A power of two, without decimals."""
    for unit, scale in (("GiB", 1 << 20), ("MiB", 1 << 10)):
        if kib_value >= scale:
            return f"{kib_value / scale:g} {unit}"
    return f"{kib_value:g} KiB"


def kib(value):
    for unit, scale in (("GiB", 1 << 20), ("MiB", 1 << 10)):
        if value >= scale:
            return f"{significant(value / scale)} {unit}"
    return f"{significant(value)} KiB"


def ratio(value):
    return f"{value:.2f}×" if value < 10 else f"{significant(value)}×"


def percent_of(permille):
    return f"{permille / 10:g} %"
