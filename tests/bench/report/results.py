# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kept results of the native benches: Google Benchmark's JSON, one file for each group.

A case's name is its group and "key:value" parameters; its times are nanoseconds for one operation, one for
each repetition."""

import json
import pathlib
import statistics

# In this order everywhere.
PEERS = ["writewatch", "floor", "eager", "mprotect", "uffd-sync", "soft-dirty", "none"]


class Case:
    def __init__(self, group, parameters):
        self.group = group
        self.parameters = parameters
        self.times = []  # ns for one operation
        self.counters = {}  # name: values
        self.reason = ""  # why it was left out
        self.index = 0  # the order in which the suite names its cases

    def __str__(self):
        return "/".join([self.group] + ["%s:%s" % item for item in self.parameters.items()])

    def add(self, entry, default_names):
        self.index = entry["family_index"]
        if entry.get("error_occurred"):
            self.reason = entry["error_message"]
            return
        self.times.append(entry["real_time"] / entry.get("ops", 1))
        for name, value in entry.items():
            if name not in default_names and isinstance(value, (int, float)):
                self.counters.setdefault(name, []).append(value)

    @property
    def median(self):
        return statistics.median(self.times)

    @property
    def quartiles(self):
        if len(self.times) < 2:
            return self.median, self.median
        low, _, high = statistics.quantiles(self.times, n=4, method="inclusive")
        return low, high

    @property
    def spread(self):
        """Half the distance between the quartiles, as a share of the median."""
        low, high = self.quartiles
        return (high - low) / 2 / self.median if self.median else 0

    def counter(self, name):
        return statistics.median(self.counters[name])


# What Google Benchmark writes for every case.
DEFAULT_NAMES = {
    "name", "family_index", "per_family_instance_index", "run_name", "run_type", "repetitions",
    "repetition_index", "threads", "iterations", "real_time", "cpu_time", "time_unit", "ops",
    "error_occurred", "error_message",
}


def parse_name(name):
    group, *parts = name.split("/")
    parameters = {}
    for part in parts:
        key, _, value = part.partition(":")
        if key not in ("iterations", "manual_time", "repeats"):
            parameters[key] = int(value) if value.isdigit() else value
    return group, parameters


class Results:
    def __init__(self):
        self.cases = {}
        self.unavailable = {}  # peer: reason
        self.modes = set()
        self.descriptions = {}  # peer: what it is
        self.clients = {}  # group: whose pattern

    def load(self, path):
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        context = document["context"]
        self.modes.add(context.get("mode", "unknown"))
        self.clients[path.stem.partition("-")[2]] = context.get("client", "")
        for key, value in context.items():
            kind, _, peer = key.partition(":")
            if kind == "unavailable":
                self.unavailable[peer] = value
            elif kind == "peer":
                self.descriptions[peer] = value
        for entry in document["benchmarks"]:
            if entry.get("run_type", "iteration") != "iteration":
                continue
            group, parameters = parse_name(entry["run_name"])
            case = Case(group, parameters)
            self.cases.setdefault(str(case), case).add(entry, DEFAULT_NAMES)

    def select(self, group, **wanted):
        """The cases of the group whose parameters are as wanted, in the suite's order."""
        found = [
            case
            for case in self.cases.values()
            if case.group == group
            and all(case.parameters.get(key) == value for key, value in wanted.items())
        ]
        return sorted(found, key=lambda case: case.index)

    def one(self, group, **wanted):
        """The one case that was measured, or None."""
        found = [case for case in self.select(group, **wanted) if case.times]
        if len(found) > 1:
            raise LookupError("%s %s: %d cases" % (group, wanted, len(found)))
        return found[0] if found else None

    def rows(self, group, **wanted):
        """Cases that differ only by the peer, as (parameters, {peer: case}), in order."""
        rows = {}
        for case in self.select(group, **wanted):
            rest = {key: value for key, value in case.parameters.items() if key != "peer"}
            key = tuple(rest.items())
            rows.setdefault(key, (rest, {}))[1][case.parameters.get("peer", "")] = case
        return list(rows.values())


def fit(points):
    """Fixed cost and slope of time = fixed + slope * size through (size, time) points, and the largest relative
    residual. Least squares of the relative errors: the sizes span orders of magnitude, and a fit of the absolute
    ones would see the largest alone."""
    weights = [1 / time**2 for _, time in points]
    total = sum(weights)
    mean_size = sum(w * size for w, (size, _) in zip(weights, points)) / total
    mean_time = sum(w * time for w, (_, time) in zip(weights, points)) / total
    variance = sum(w * (size - mean_size) ** 2 for w, (size, _) in zip(weights, points))
    covariance = sum(w * (size - mean_size) * (time - mean_time) for w, (size, time) in zip(weights, points))
    slope = covariance / variance if variance else 0
    fixed = mean_time - slope * mean_size
    worst = max(abs(fixed + slope * size - time) / time for size, time in points)
    return fixed, slope, worst


def load_directory(directory, groups=None):
    results = Results()
    for path in sorted(pathlib.Path(directory).glob("native-*.json")):
        if groups is None or path.stem.partition("-")[2] in groups:
            results.load(path)
    return results
