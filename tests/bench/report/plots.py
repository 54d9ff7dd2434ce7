# SPDX-License-Identifier: LGPL-2.1-or-later
"""The report's plots. Colours that colour-blind readers can tell apart (after Okabe and Ito), lines labelled where
they end, logarithmic axes where values span orders of magnitude."""

import math

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as pyplot  # noqa: E402 (the backend comes first)
from matplotlib import ticker  # noqa: E402

import text  # noqa: E402

STYLES = {  # colour, line style, width, marker
    "writewatch": ("#0072B2", "-", 2.6, "o"),
    "floor": ("#444444", ":", 1.8, None),
    "eager": ("#D55E00", "-", 1.6, "s"),
    "mprotect": ("#009E73", "-", 1.6, "^"),
    "uffd-sync": ("#AA4499", "-", 1.6, "D"),
    "soft-dirty": ("#8C6D00", "-", 1.6, "v"),
    "none": ("#777777", "--", 1.4, None),
}
STOCK, TRACKED = "#009E73", "#0072B2"

pyplot.rcParams.update({
    "svg.fonttype": "path",
    "svg.hashsalt": "writewatch",  # the same results make the same file
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
})


def time_axis(axis):
    axis.set_major_formatter(ticker.FuncFormatter(lambda ns, _: text.tick(ns)))
    axis.set_minor_formatter(ticker.NullFormatter())


def label_ends(axes, ends):
    """Names at the right ends of lines, pushed apart where they would overlap (log axes). Axes that span little get
    more ticks."""
    low, high = axes.get_ylim()
    if high / low < 40:
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
    low, high = (math.log(limit) for limit in axes.get_ylim())
    gap = (high - low) * 0.058
    names = sorted(ends, key=lambda name: ends[name][1])
    places = [math.log(ends[name][1]) for name in names]
    for _ in range(100):
        for i in range(1, len(places)):
            overlap = gap - (places[i] - places[i - 1])
            if overlap > 0:
                places[i - 1] -= overlap / 2
                places[i] += overlap / 2
    lift = min(0.0, high - places[-1] - gap / 4) if places else 0
    for name, place in zip(names, places):
        axes.annotate(name, (ends[name][0], math.exp(place + lift)), xytext=(7, 0), textcoords="offset points",
                      va="center", fontsize=9.5, color=STYLES[name][0],
                      fontweight="bold" if name == "writewatch" else "normal", annotation_clip=False)


def lines(axes, rows, key, value=lambda case: case.median, peers=STYLES, x_of=lambda x: x):
    """One line for each peer over the parameter `key`; returns the peers' last points."""
    ends = {}
    for peer in peers:
        points = sorted((x_of(parameters[key]), value(row[peer])) for parameters, row in rows
                        if peer in row and row[peer].times)
        if not points:
            continue
        colour, style, width, marker = STYLES[peer]
        axes.plot(*zip(*points), color=colour, linestyle=style, linewidth=width, marker=marker, markersize=4.5,
                  zorder=3 if peer == "writewatch" else 2)
        ends[peer] = points[-1]
    return ends


def figure(columns=1, width=9.0, height=4.2):
    return pyplot.subplots(1, columns, figsize=(width, height), layout="constrained", squeeze=False)


def save(picture, directory, name, pixels):
    file = directory / f"{name}.svg"
    picture.savefig(file, metadata={"Date": None})
    declaration, rest = file.read_text(encoding="utf-8").split("\n", 1)
    licence = "<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->"
    file.write_text("\n".join([declaration, licence, rest]), encoding="utf-8")
    if pixels:
        picture.savefig(directory / f"{name}.png", dpi=110)
    pyplot.close(picture)
    return name


def matrix(results, op, title):
    shapes = [shape for shape in ("scattered", "clustered") if results.select("matrix", op=op, shape=shape)]
    if not shapes:
        return None
    picture, (row,) = figure(2, 10.5, 4.6)
    pages = results.select("matrix", op=op)[0].parameters["pages"]
    shown = {"scattered": "scattered: every n-th page", "clustered": "clustered: runs of up to 1 MiB"}
    limits = []
    for axes, shape in zip(row, ("scattered", "clustered")):
        found = results.rows("matrix", op=op, shape=shape)
        if shape == "clustered":  # nothing and everything have one shape
            found += [pair for pair in results.rows("matrix", op=op, shape="scattered")
                      if pair[0]["permille"] in (0, 1000)]
        axes.set_xscale("log")
        axes.set_yscale("log")
        # 0 has a place of its own, left of the smallest share.
        ends = lines(axes, found, "permille", x_of=lambda permille: permille / 10 if permille else 0.03)
        axes.set_title(shown[shape])
        axes.set_xlabel("% of the pages written")
        shares = sorted({parameters["permille"] for parameters, _ in found})
        axes.set_xticks([share / 10 if share else 0.03 for share in shares], [f"{share / 10:g}" for share in shares])
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        time_axis(axes.yaxis)
        axes.set_xlim(0.022, 130)
        limits.append(axes.get_ylim())
        axes.ends = ends
    for axes in row:
        axes.set_ylim(min(low for low, _ in limits) * 0.9, max(high for _, high in limits))
        label_ends(axes, axes.ends)
    row[0].set_ylabel(f"one call about {pages:,} pages")
    picture.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return picture


def writes(results):
    groups = [
        ("first write to a page", results.rows("writes", op="first_write")),
        ("write after a reset, every 4th page", results.rows("writes", op="write_after_reset", permille=250)),
        ("write after a reset, every page", results.rows("writes", op="write_after_reset", permille=1000)),
    ]
    # uffd-sync and the others were asked for different numbers of pages: rows of their own.
    groups = [(title, {peer: case for _, row in rows for peer, case in row.items() if case.times})
              for title, rows in groups]
    if not any(cases for _, cases in groups):
        return None
    picture, (row,) = figure(3, 11, 3.6)
    largest = max(case.median for _, cases in groups for case in cases.values())
    smallest = min(case.median for _, cases in groups for case in cases.values())
    for axes, (title, cases) in zip(row, groups):
        names = [peer for peer in STYLES if peer in cases][::-1]
        axes.barh(names, [cases[peer].median for peer in names], color=[STYLES[peer][0] for peer in names], height=0.66)
        for place, peer in enumerate(names):
            axes.text(cases[peer].median * 1.15, place, text.duration(cases[peer].median), va="center", fontsize=9)
        axes.set_xscale("log")
        axes.set_xlim(smallest / 2, largest * 9)
        axes.set_title(title, fontsize=10)
        axes.grid(axis="y", visible=False)
        time_axis(axes.xaxis)
        for axes_label, peer in zip(axes.get_yticklabels(), names):
            axes_label.set_fontweight("bold" if peer == "writewatch" else "normal")
    return picture


def growth(results):
    kinds = [
        ("allocating a region, untouched", "untouched_kib", {"op": "allocate"}),
        ("idle get of a populated range", "populated_kib", {"op": "get"}),
        ("get+reset, every 4th page written", "populated_kib", {"op": "get_reset"}),
    ]
    rows = [(title, key, [pair for pair in results.rows("growth", **wanted) if key in pair[0]])
            for title, key, wanted in kinds]
    if not any(found for _, _, found in rows):
        return None
    picture, (row,) = figure(3, 12.5, 4.4)
    for axes, (title, key, found) in zip(row, rows):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        ends = lines(axes, found, key)
        axes.set_title(title, fontsize=10)
        sizes = sorted({parameters[key] for parameters, _ in found})
        chosen = sizes[::2] if len(sizes) > 6 else sizes
        axes.set_xticks(chosen, [text.size(size) for size in chosen], rotation=30, ha="right")
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        time_axis(axes.yaxis)
        label_ends(axes, ends)
    return picture


def threads(results):
    if not results.rows("threads", collector="loop"):
        return None
    picture, (row,) = figure(3, 12.5, 4.3)
    kinds = [
        ("loop", "writes a second, collector in a loop", lambda case: case.counter("writes_per_s")),
        ("frames", "writes a second, collector at 60 Hz", lambda case: case.counter("writes_per_s")),
        ("loop", "p99 of a get+reset, in a loop", lambda case: case.counter("get_p99_ns")),
    ]
    for axes, (collector, title, value) in zip(row, kinds):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        rows = results.rows("threads", collector=collector)
        ends = lines(axes, rows, "threads", value)
        latency = title.startswith("p99")
        if not latency:
            ends.update(lines(axes, results.rows("threads", collector="none"), "threads", value, peers=["none"]))
        axes.set_title(title, fontsize=10)
        counts = sorted({parameters["threads"] for parameters, _ in rows})
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.set_xlabel("threads that write")
        if latency:
            time_axis(axes.yaxis)
        else:
            axes.yaxis.set_major_formatter(ticker.EngFormatter())
        label_ends(axes, ends)
    return picture


def regions(results):
    rows = results.rows("regions", op="get_page")
    if not rows:
        return None
    picture, (row,) = figure(2, 10.5, 4.2)
    for axes, op, title in zip(row, ("get_page", "write_get_reset"),
                               ("get of one page, idle", "a write, then get+reset of the region")):
        axes.set_xscale("log")
        axes.set_yscale("log")
        ends = lines(axes, results.rows("regions", op=op), "regions")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("watched regions of 64 KiB; each call about another")
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda count, _: f"{count:,.0f}"))
        time_axis(axes.yaxis)
        label_ends(axes, ends)
    return picture


def save_states(results):
    rows = results.rows("save-states")
    if len({parameters["mib"] for parameters, _ in rows}) < 2:
        return None
    picture, ((axes,),) = figure(1, 8, 4.2)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ends = lines(axes, rows, "mib")
    sizes = sorted({parameters["mib"] for parameters, _ in rows})
    axes.set_xticks(sizes, [text.size(size << 10) for size in sizes])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.axhline(1e9 / 60, color="#999999", linewidth=1, linestyle="--")
    axes.annotate("a frame at 60 Hz", (sizes[0], 1e9 / 60), xytext=(0, 4), textcoords="offset points", fontsize=9,
                  color="#666666")
    axes.set_title("get+reset of all of the RAM, 2 % written in runs")
    axes.set_xlabel("emulated RAM, populated")
    time_axis(axes.yaxis)
    label_ends(axes, ends)
    return picture


def under_wine(wine):
    bars = [
        ("rotate", "spread_write_ns", "write, every 4th page"),
        ("rotate", "spread_get_reset_ns", "get+reset, every 4th page"),
        ("rotate", "block_write_ns", "write, in one piece"),
        ("rotate", "block_get_reset_ns", "get+reset, in one piece"),
        ("collector", "total_ns", "demo: collecting"),
        ("collector", "pause_p50_ns", "demo: pause, median"),
        ("bdwgc", "total_ns", "bdwgc's test: total"),
        ("bdwgc", "pause_p50_ns", "bdwgc's test: pause, median"),
    ]
    pairs = [("wine-stock", "wine-writewatch"), ("wine10-stock", "wine10-writewatch")]
    shown = [[(title, wine.median(program, stock, field), wine.median(program, tracked, field))
              for program, field, title in bars if wine.ratio(program, stock, tracked, field)]
             for stock, tracked in pairs]
    shown = [(pair, found) for pair, found in zip(pairs, shown) if found]
    if not shown:
        return None
    picture, (row,) = figure(len(shown), 5.6 * len(shown), 4.8)
    for axes, ((stock, _), found) in zip(row, shown):
        found = found[::-1]
        places = range(len(found))
        for place, (_, before, after) in zip(places, found):
            axes.plot([after, before], [place, place], color="#BBBBBB", linewidth=3, zorder=1)
        axes.scatter([before for _, before, _ in found], places, color=STOCK, s=46, zorder=2, marker="^")
        axes.scatter([after for _, _, after in found], places, color=TRACKED, s=46, zorder=3)
        for place, (_, before, after) in zip(places, found):
            times = before / after
            axes.annotate(text.ratio(times) + (" faster" if times >= 1 else ""), ((before * after) ** 0.5, place),
                          xytext=(0, 6), textcoords="offset points", ha="center", fontsize=9)
        axes.set_yticks(list(places), [title for title, _, _ in found])
        axes.set_ylim(-0.7, len(found) - 0.2)
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.set_xlim(low / 3, high * 3)
        axes.xaxis.set_major_locator(ticker.LogLocator(base=100))
        axes.set_title(wine.title(stock).split(",")[0])
        axes.grid(axis="y", visible=False)
        time_axis(axes.xaxis)
    row[0].legend(handles=[
        matplotlib.lines.Line2D([], [], color=TRACKED, marker="o", linestyle="", label="with writewatch"),
        matplotlib.lines.Line2D([], [], color=STOCK, marker="^", linestyle="", label="stock"),
    ], loc="lower left", frameon=False, fontsize=9.5)
    return picture


def draw(results, wine, directory, pixels=False):
    """Writes the plots that the results allow; returns their names."""
    pictures = {
        "writes": writes(results),
        "get-reset": matrix(results, "get_reset", "get+reset"),
        "get": matrix(results, "get", "get without reset"),
        "reset": matrix(results, "reset", "reset"),
        "save-states": save_states(results),
        "growth": growth(results),
        "regions": regions(results),
        "threads": threads(results),
        "wine": under_wine(wine) if wine else None,
    }
    directory.mkdir(parents=True, exist_ok=True)
    return {save(picture, directory, name, pixels) for name, picture in pictures.items() if picture}
