"""Draw the figures: ``python -m benchmarks.plots``; needs matplotlib."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks.harness.places import PLOTS, RESULTS
from benchmarks.report import results
from benchmarks.reporting.columns import SHOWN
from benchmarks.reporting.figures import Found, Line, lines

mpl.use("Agg")

from matplotlib import pyplot

OURS, PEER, FLOOR = "#1b7837", "#7f7f7f", "#4393c3"
LOGARITHMIC = {"drain", "lateness", "periodic", "memory_lateness", "scale", "enqueue"}


def bars(name: str, found: Found, folder: Path) -> None:
    """Draw the main figure of a row, a bar for each line."""
    column = SHOWN[name].main
    given = [one for one in lines(found) if one.median(column.metric) is not None]
    if not given:
        return
    several = len({one.case for one in given}) > 1
    figure, axes = pyplot.subplots(figsize=(8, max(1.8, 0.6 + 0.28 * len(given))))
    for place, line in enumerate(reversed(given)):
        _bar(axes, place, line, column.metric)
    names = [f"{_plain(one)}, {one.case}" if several else _plain(one) for one in given]
    axes.set_yticks(range(len(given)), list(reversed(names)), fontsize=8)
    if name in LOGARITHMIC:
        axes.set_xscale("log")
    axes.set_xlabel(f"{column.title} ({column.better} is better)")
    axes.set_title(found["title"], fontsize=10)
    figure.tight_layout()
    figure.savefig(folder / f"bench-{name}.png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _bar(axes: Any, place: int, line: Line, metric: str) -> None:
    values = line.values(metric)
    middle = line.median(metric) or 0.0
    color = OURS if line.ours else FLOOR if line.floor else PEER
    around = [[middle - min(values)], [max(values) - middle]]
    axes.barh(place, middle, color=color, xerr=around, error_kw={"lw": 0.8})


def _plain(line: Line) -> str:
    return line.who.replace("*", "")


def growth(found: Found, folder: Path) -> None:
    """Draw what a job costs against the number of jobs."""
    figure, axes = pyplot.subplots(figsize=(6, 4))
    told: dict[str, list[tuple[float, float]]] = {}
    for line in lines(found):
        name, _, size = line.case.rpartition(", ")
        for metric in ("cpu_us", "bulk_cpu_us"):
            value = line.median(metric)
            if value is not None:
                told.setdefault(name, []).append((float(size.replace(",", "")), value))
    for name, points in told.items():
        points.sort()
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("jobs")
    axes.set_ylabel("µs CPU a job")
    axes.set_title(found["title"], fontsize=10)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / "bench-growth.png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def main() -> None:
    """Draw a plot for each row that was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--into", type=Path, default=PLOTS)
    chosen = parser.parse_args()
    chosen.into.mkdir(parents=True, exist_ok=True)
    for name, found in results(chosen.results).items():
        if name == "growth":
            growth(found, chosen.into)
        else:
            bars(name, found, chosen.into)


if __name__ == "__main__":
    main()
