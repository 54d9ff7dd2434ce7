# SPDX-License-Identifier: LGPL-2.1-or-later
"""The project's targets, each with what was measured in this run."""

import text


class Target:
    """`value` is what was measured; None when it was not, with the reason in `detail`."""

    def __init__(self, number, statement, bound, value, detail, at_least=False, unit="×"):
        self.number = number
        self.statement = statement
        self.bound = bound
        self.value = value
        self.detail = detail
        self.at_least = at_least
        self.unit = unit

    @property
    def met(self):
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def show(self, value):
        if self.unit == "×":
            return text.ratio(value)
        return f"{text.significant(value)} {self.unit}"

    @property
    def verdict(self):
        if self.value is None:
            return "not measured"
        if self.met:
            return "met"
        if self.bound == 0:
            return f"**missed** by {self.show(self.value)}"
        if self.at_least:
            return f"**missed**: {self.value / self.bound * 100:.0f} % of it"
        return f"**missed** by {self.show(self.value - self.bound)}"


def describe(case, *left_out):
    parameters = [
        f"{key} {value}" for key, value in case.parameters.items() if key not in ("peer", "pages") + left_out
    ]
    return ", ".join(parameters)


def time_ratio(row, peer, inverse=False):
    """writewatch's time divided by the peer's; None when one was not measured."""
    ours, other = row.get("writewatch"), row.get(peer)
    if not ours or not other or not ours.times or not other.times:
        return None
    return other.median / ours.median if inverse else ours.median / other.median


def extreme(results, number, statement, bound, peer, selections, at_least=False):
    """The worst ratio over rows: the largest of writewatch / peer or, at_least, the smallest of peer / writewatch."""
    found = []
    for group, wanted, accept in selections:
        for parameters, row in results.rows(group, **wanted):
            value = time_ratio(row, peer, inverse=at_least)
            if value is not None and accept(parameters):
                found.append((value, row["writewatch"]))
    if not found:
        return Target(number, statement, bound, None, "not in this run", at_least)
    value, case = (min if at_least else max)(found, key=lambda pair: pair[0])
    missed = sum(1 for each, _ in found if (each < bound if at_least else each > bound))
    detail = f"worst of {len(found)}: {describe(case)}"
    if missed and len(found) > 1:
        detail += f"; {len(found) - missed} of {len(found)} within"
    return Target(number, statement, bound, value, detail, at_least)


def anything(_):
    return True


def over_floor(results, group, **wanted):
    """Nanoseconds over the floor, per matching row: [(parameters, ns)]."""
    found = []
    for parameters, row in results.rows(group, **wanted):
        ours, floor = row.get("writewatch"), row.get("floor")
        if ours and floor and ours.times and floor.times:
            found.append((parameters, ours.median - floor.median))
    return found


def against_floor(results):
    yield extreme(
        results, "1", "get, get+reset, reset of a region at most 1.05× the bare ioctl loop, at every share", 1.05,
        "floor", [("matrix", {}, anything)],
    )
    pages = over_floor(results, "single-page", op="get")
    yield Target(
        "1", "a single-page get at most 120 ns over its bare ioctl", 120,
        max((ns for _, ns in pages), default=None), "the larger of a clean and a written page", unit="ns",
    )
    regions = {parameters["regions"]: ns for parameters, ns in over_floor(results, "regions", op="get_page")}
    most = max(regions, default=0)
    yield Target(
        "1", "at 30,000 regions at most 40 ns more over the bare ioctl than at 1", 40,
        regions[most] - regions[1] if 1 in regions and most > 1 else None,
        f"single-page get, {most:,} regions: {regions[most]:.0f} ns over, 1 region: {regions[1]:.0f} ns over"
        if 1 in regions and most > 1 else "not in this run", unit="ns",
    )


def against_eager(results):
    yield extreme(results, "2", "first write at least 1.6× faster than with eager arming", 1.6, "eager",
                  [("writes", {"op": "first_write"}, anything)], at_least=True)
    yield extreme(results, "2", "allocating 1 GiB at least 100× cheaper", 100, "eager",
                  [("allocation", {"op": "allocate", "kib": 1 << 20}, anything)], at_least=True)
    ours = results.one("memory", peer="writewatch", case="reserved")
    other = results.one("memory", peer="eager", case="reserved")
    yield Target(
        "2", "page tables of an untouched reservation: none", 0,
        ours.counter("page_tables_kib") if ours else None,
        f"eager: {text.kib(other.counter('page_tables_kib'))}" if other else "", unit="KiB",
    )
    gets = [("matrix", {"op": op}) for op in ("get", "get_reset")]
    yield extreme(
        results, "2", "get and get+reset at most 1.05× eager arming when idle and from 10 % on", 1.05, "eager",
        [(*get, lambda p: p["permille"] == 0 or p["permille"] >= 100) for get in gets],
    )
    yield extreme(
        results, "2", "in between at most 1.25×", 1.25, "eager",
        [(*get, lambda p: 0 < p["permille"] < 100 and p["shape"] == "scattered") for get in gets],
    )
    yield extreme(
        results, "2", "and with clustered dirt faster", 1.0, "eager",
        [(*get, lambda p: 0 < p["permille"] < 100 and p["shape"] == "clustered") for get in gets],
    )


def against_mprotect(results):
    yield extreme(results, "3", "writes at least 5× faster than with mprotect", 5, "mprotect",
                  [("writes", {}, anything)], at_least=True)
    yield extreme(
        results, "3", "sparse get+reset at least 10× faster (scattered, up to 25 %)", 10, "mprotect",
        [("matrix", {"op": "get_reset", "shape": "scattered"}, lambda p: 0 < p["permille"] <= 250)], at_least=True,
    )
    groups = ["writes", "matrix", "allocation", "single-page", "short-array", "heap-sections", "save-states",
              "small-resources", "reservation", "regions", "growth"]
    yield extreme(results, "3", "no pattern slower than with mprotect", 1.0, "mprotect",
                  [(group, {}, anything) for group in groups])


def under_wine(wine):
    for program, field, statement, bound in (
        ("bdwgc", "total_ns", "bdwgc's incremental test under the installed Wine at least 1.5× faster than stock", 1.5),
        ("collector", "pause_p50_ns", "the demo's pauses (median) at least 5× shorter", 5),
    ):
        value = wine and wine.ratio(program, "wine-stock", "wine-writewatch", field)
        detail = ""
        if value:
            shown = [text.duration(wine.median(program, variant, field)) for variant in ("wine-stock", "wine-writewatch")]
            detail = f"{shown[0]} stock, {shown[1]} with writewatch"
        yield Target("4", statement, bound, value, detail or "not in this run", at_least=True)


def with_threads(results):
    alone = results.one("threads", peer="writewatch", collector="none", threads=8)
    for collector, what in (("loop", "asks without a pause"), ("frames", "asks at 60 Hz")):
        collected = results.one("threads", peer="writewatch", collector=collector, threads=8)
        statement = f"8 writers: throughput at most 1.5× below that without a collector, when one {what}"
        if not alone or not collected:
            yield Target("5", statement, 1.5, None, "not in this run")
            continue
        yield Target(
            "5", statement, 1.5, alone.counter("writes_per_s") / collected.counter("writes_per_s"),
            f"get: p50 {text.duration(collected.counter('get_p50_ns'))}, "
            f"p99 {text.duration(collected.counter('get_p99_ns'))}",
        )


def resident(results):
    crowd = results.one("memory", peer="writewatch", case="small_regions")
    yield Target(
        "6", "at most 128 bytes of resident memory for a watched region", 128,
        crowd.counter("bytes_per_region") if crowd else None, "30,000 regions of 64 KiB, untouched", unit="B",
    )
    idle, control = (results.one("resident", peer=peer, op="idle") for peer in ("writewatch", "none"))
    yield Target(
        "6", "no CPU time when idle (at most 0.05 ms more than a program without it)", 0.05,
        max(idle.counter("cpu_ns") - control.counter("cpu_ns"), 0) / 1e6 if idle and control else None,
        f"asleep for {text.duration(idle.median)}: {text.duration(idle.counter('cpu_ns'))} with, "
        f"{text.duration(control.counter('cpu_ns'))} without" if idle and control else "not in this run", unit="ms",
    )
    loaded, plain = (results.one("resident", op="process", preload=word) for word in ("yes", "no"))
    yield Target(
        "6", "loading the preload into a process without write watches at most 2 ms", 2,
        (loaded.median - plain.median) / 1e6 if loaded and plain else None,
        f"/bin/true: {text.duration(loaded.median)} with, {text.duration(plain.median)} without"
        if loaded and plain else "not in this run", unit="ms",
    )


def evaluate(results, wine):
    return [
        *against_floor(results),
        *against_eager(results),
        *against_mprotect(results),
        *under_wine(wine),
        *with_threads(results),
        *resident(results),
    ]
