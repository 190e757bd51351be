"""Running many seeds, in several processes, and telling what happened."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from aiosched.testing.simulation.cases import Case, CaseReport, run_case
from aiosched.testing.simulation.chance import CLOCK
from aiosched.testing.simulation.incidents import KINDS
from aiosched.testing.simulation.logbook import Logbook
from aiosched.testing.simulation.shrink import Shrunk, shrink

__all__ = [
    "EFFECTS",
    "ENOUGH",
    "Statistics",
    "never_happened",
    "search",
    "show_statistics",
    "smallest",
]

EFFECTS: Final = (
    "executions",
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
_AHEAD = 3
"""Cases a process that are handed over before the first has ended."""

_PER_PROCESS = 200
"""Cases after which a process makes room for a fresh one."""


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
        commits: Transactions, by kind of store.
        spent: Real seconds, by kind of store.
    """

    seeds: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[CaseReport] = field(default_factory=list)
    virtual: float = 0.0
    seconds: float = 0.0
    wall: float = 0.0
    commits: Counter[str] = field(default_factory=Counter)
    spent: dict[str, float] = field(default_factory=dict)

    def add(self, report: CaseReport) -> None:
        """Take a report into account."""
        store = report.case.store
        self.seeds[store] += 1
        self.counts.update(report.counts)
        self.commits[store] += report.counts["commits"]
        self.virtual += report.virtual
        self.seconds += report.seconds
        self.spent[store] = self.spent.get(store, 0.0) + report.seconds
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
    book: Logbook | None = None,
) -> Statistics:
    """Run cases, each in one of so many processes.

    Args:
        cases: What to run, in that order.
        jobs: Processes; 1: in this one.
        stop_after: Failing cases after which no more are begun; None: all run.
        told: Called with each report, in the order of their ends; first with
            those that the book has.
        run: Runs a case; for several processes a function that can be pickled.
        book: Has what was run before, which is not run again, and is given
            what is run now; None: nothing is kept.

    Raises:
        BrokenProcessPool: A process has died; what was run is in the book.
    """
    statistics = Statistics()
    begun = CLOCK.monotonic()
    for report in _all_reports(cases, jobs, run, book):
        statistics.add(report)
        if told is not None:
            told(report)
        if stop_after is not None and len(statistics.failed) >= stop_after:
            break
    statistics.wall = CLOCK.monotonic() - begun
    return statistics


def _all_reports(
    cases: Iterable[Case],
    jobs: int,
    run: Callable[[Case], CaseReport],
    book: Logbook | None,
) -> Iterator[CaseReport]:
    """Yield what is in the book, then what is run, which is entered there."""
    if book is None:
        yield from _reports(cases, jobs, run)
        return
    known = {_name(report.case): report for report in book.reports()}
    wanted = list(cases)
    yield from [known[_name(one)] for one in wanted if _name(one) in known]
    rest = [one for one in wanted if _name(one) not in known]
    try:
        for report in _reports(rest, jobs, run):
            book.write(report)
            yield report
    finally:
        book.close()


def _name(case: Case) -> tuple[object, ...]:
    """Return what tells one case of a search from the others."""
    return case.seed, case.store, case.planted, case.commits, case.shards


def _reports(
    cases: Iterable[Case], jobs: int, run: Callable[[Case], CaseReport]
) -> Iterator[CaseReport]:
    if jobs == 1:
        yield from map(run, cases)
        return
    # A fresh interpreter each: what is forked shares the parent's threads' locks.
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=_PER_PROCESS
    )
    left = iter(cases)
    try:
        running = {pool.submit(run, one) for one in islice(left, jobs * _AHEAD)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(run, one) for one in islice(left, len(done))}
            yield from [one.result() for one in done]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
    commits = statistics.counts["commits"]
    lines = [
        f"{statistics.total} seeds ({stores}), {statistics.wall:.1f} s, "
        f"{statistics.virtual / 3600:.1f} virtual hours, "
        f"{len(statistics.failed)} with a rule broken",
        f"{commits} transactions, {commits / total:.0f} a seed, in "
        f"{statistics.seconds:.0f} s of processors",
    ]
    worked = statistics.counts["virtual ms at work"]
    if worked:
        share = statistics.counts["of these calm"] / worked
        lines.append(f"{share:.0%} of the time at work was calm: promptness is judged")
    for store, number in sorted(statistics.seeds.items()):
        spent = max(statistics.spent[store], 1e-9)
        made = statistics.commits[store]
        lines.append(
            f"{store}: {made / number:.0f} transactions and "
            f"{spent / number:.3f} s a seed, {made / spent:.0f} transactions/s"
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
