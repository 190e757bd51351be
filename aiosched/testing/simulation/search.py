"""Running many seeds, in several processes, and telling what happened."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiosched.testing.simulation.cases import Case, CaseReport, run_case
from aiosched.testing.simulation.chance import CLOCK
from aiosched.testing.simulation.incidents import KINDS
from aiosched.testing.simulation.shrink import Shrunk, shrink

__all__ = ["EFFECTS", "Statistics", "never_happened", "search", "show_statistics"]

EFFECTS: Final = (
    "claims",
    "settles",
    "takeovers",
    "fenced settles",
    "signals lost",
    "signals doubled",
    "signals delayed",
    "cut before",
    "unknown: cut",
)
"""What has to occur somewhere in a thousand seeds, or they prove nothing."""

ENOUGH: Final = 1_000
"""Seeds after which everything that can happen has to have happened."""

_OF_REDIS: Final = ("aborts", "unknown EXECs")
_CHUNK = 4


@dataclass(slots=True)
class Statistics:
    """Sums over many cases.

    Attributes:
        seeds: How many were run, by kind of store.
        counts: What happened, by name.
        failed: The reports of those in which a rule was broken.
        virtual: Virtual seconds in all.
        seconds: Real seconds, of all processes together.
        wall: Real seconds from beginning to end.
    """

    seeds: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[CaseReport] = field(default_factory=list)
    virtual: float = 0.0
    seconds: float = 0.0
    wall: float = 0.0
    commits: Counter[str] = field(default_factory=Counter)
    spent: Counter[str] = field(default_factory=Counter)

    def add(self, report: CaseReport) -> None:
        """Take a report into account."""
        store = report.case.store
        self.seeds[store] += 1
        self.counts.update(report.counts)
        self.commits[store] += report.counts["commits"]
        self.virtual += report.virtual
        self.seconds += report.seconds
        self.spent[store] += report.seconds  # type: ignore[assignment]
        if report.findings:
            self.failed.append(report)

    @property
    def total(self) -> int:
        """How many seeds were run."""
        return sum(self.seeds.values())


def search(
    cases: Iterable[Case],
    *,
    jobs: int = 1,
    stop_after: int | None = 1,
    told: Callable[[CaseReport], None] | None = None,
    run: Callable[[Case], CaseReport] = run_case,
) -> Statistics:
    """Run cases, each in one of so many processes.

    Args:
        cases: What to run, in that order.
        jobs: Processes; 1: in this one.
        stop_after: Failing cases after which no more are begun; None: all run.
        told: Called with each report, in the order of their ends.
        run: Runs a case; for several processes a function that can be pickled.
    """
    statistics = Statistics()
    begun = CLOCK.monotonic()
    for report in _reports(cases, jobs, run):
        statistics.add(report)
        if told is not None:
            told(report)
        if stop_after is not None and len(statistics.failed) >= stop_after:
            break
    statistics.wall = CLOCK.monotonic() - begun
    return statistics


def _reports(
    cases: Iterable[Case], jobs: int, run: Callable[[Case], CaseReport]
) -> Iterator[CaseReport]:
    if jobs == 1:
        yield from map(run, cases)
        return
    # A fresh interpreter each: what is forked shares the parent's threads' locks.
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, maxtasksperchild=200) as pool:
        yield from pool.imap_unordered(run, cases, chunksize=_CHUNK)


def smallest(statistics: Statistics, most: int = 3) -> Iterator[Shrunk]:
    """Shrink the first few failing cases."""
    for report in statistics.failed[:most]:
        yield shrink(report)


def never_happened(statistics: Statistics) -> list[str]:
    """Return what should have happened in so many seeds and did not.

    Empty for fewer than :data:`ENOUGH` seeds: then it may be chance.
    """
    if statistics.total < ENOUGH:
        return []
    names: list[str] = [f"incident {kind}" for kind in KINDS]
    names += EFFECTS
    if statistics.seeds["redis"] >= ENOUGH // 10:
        names += _OF_REDIS
    return [name for name in names if not statistics.counts[name]]


def show_statistics(statistics: Statistics) -> str:
    """Return a table: what happened in all, and in each thousand seeds."""
    total = max(statistics.total, 1)
    stores = ", ".join(
        f"{n} over {kind}" for kind, n in sorted(statistics.seeds.items())
    )
    lines = [
        f"{statistics.total} seeds ({stores}), {statistics.wall:.1f} s, "
        f"{statistics.virtual / 3600:.1f} virtual hours, "
        f"{len(statistics.failed)} with a rule broken"
    ]
    for store, number in sorted(statistics.seeds.items()):
        spent = max(statistics.spent[store], 1e-9)
        commits = statistics.commits[store]
        lines.append(
            f"{store}: {commits / number:.0f} transactions and "
            f"{spent / number:.3f} s a seed, {commits / spent:.0f} transactions/s"
        )
    lines.append(f"{'':32}{'in all':>12}{'per 1,000 seeds':>18}")
    for name in _ordered(statistics.counts):
        number = statistics.counts[name]
        lines.append(f"{name:32}{number:>12}{number * 1000 / total:>18.1f}")
    missing = never_happened(statistics)
    lines += [f"never happened: {name}" for name in missing]
    return "\n".join(lines)


def _ordered(counts: Counter[str]) -> Sequence[str]:
    """Incidents last, everything else by name."""
    return sorted(counts, key=lambda name: (name.startswith("incident"), name))
