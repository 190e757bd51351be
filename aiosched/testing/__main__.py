"""``python -m aiosched.testing``: replay one seed of the simulator, or search many.

::

    python -m aiosched.testing search --seeds 0..1000 --jobs 2
    python -m aiosched.testing replay --seed 17 --incidents "skew:p0:14::5.3" --trace
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiosched.testing.simulation.cases import COMMITS, Case, CaseReport, run_case
from aiosched.testing.simulation.chance import CLOCK
from aiosched.testing.simulation.incidents import parse_incidents
from aiosched.testing.simulation.logbook import Logbook
from aiosched.testing.simulation.planted import PLANTED
from aiosched.testing.simulation.search import (
    ENOUGH,
    Statistics,
    never_happened,
    search,
    show_statistics,
    smallest,
)
from aiosched.testing.simulation.shrink import difference, shrink

__all__ = ["main"]

_STORES = ("memory", "redis", "both")
_EACH = 100
"""Seeds after which a search says how far it is."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 all well, 1 not, 2 misuse."""
    options = _parser().parse_args(words)
    code: int = options.do(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aiosched.testing", description=(__doc__ or "").split("\n", 1)[0]
    )
    commands = parser.add_subparsers(required=True)
    bugs = sorted(PLANTED)
    one = commands.add_parser("replay", help="run one seed")
    one.add_argument("--seed", type=int, required=True)
    one.add_argument("--incidents", type=_incidents, help="default: drawn")
    one.add_argument("--store", choices=_STORES[:2], help="default: drawn")
    one.add_argument("--planted", choices=bugs, help="with this deliberate bug")
    one.add_argument("--trace", action="store_true", help="print one line an event")
    one.add_argument("--twice", action="store_true", help="run it again and compare")
    one.add_argument("--shrink", action="store_true", help="make it small if it fails")
    one.set_defaults(do=_replay)
    many = commands.add_parser("search", help="run many seeds")
    many.add_argument("--seeds", type=_seeds, default=range(100), help="first..last")
    many.add_argument("--jobs", type=int, default=1, help="processes")
    many.add_argument("--store", choices=_STORES, default="both")
    found = "with this deliberate bug: it must be found"
    many.add_argument("--planted", choices=bugs, help=found)
    many.add_argument("--all", action="store_true", help="do not stop at a failure")
    kept = "keep what came of each seed in this file, and go on where it ends"
    many.add_argument("--resume", type=Path, metavar="FILE", help=kept)
    many.set_defaults(do=_search)
    for command in (one, many):
        about = "about how many transactions a seed"
        command.add_argument("--commits", type=int, default=COMMITS, help=about)
        command.add_argument("--shards", type=int, help="default: drawn, at most 8")
    return parser


def _say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _incidents(text: str) -> Any:
    try:
        return parse_incidents(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seeds(text: str) -> range:
    """Read ``first..last``, both included, or one number."""
    first, dots, last = text.partition("..")
    try:
        return range(int(first), int(last if dots else first) + 1)
    except ValueError as error:
        message = f"{text!r}: write first..last"
        raise argparse.ArgumentTypeError(message) from error


def _replay(options: argparse.Namespace) -> int:
    case = Case(
        options.seed,
        options.store,
        options.incidents,
        options.planted,
        options.commits,
        options.trace or options.twice,
        options.shards,
    )
    report = run_case(case)
    if options.trace:
        _say("\n".join(report.lines))
    _tell(report)
    if options.twice:
        differs = difference(report.lines, run_case(case).lines)
        _say("the second run is the same" if differs is None else differs)
        if differs is not None:
            return 1
    if report.findings and options.shrink:
        _say(shrink(report))
    return 1 if report.findings else 0


def _tell(report: CaseReport) -> None:
    counts = report.counts
    _say(
        f"seed {report.case.seed} over {report.case.store}: "
        f"{counts['commits']} transactions, {counts['claims']} claims, "
        f"{report.virtual:.0f} virtual seconds in {report.seconds:.2f} s, "
        f"trace {report.digest[:16]}"
    )
    _say(f"again: {replace(report.case, keep_trace=False).replay}")
    for one in report.findings:
        _say(f"  {one}")


class _Teller:
    """Says how a search goes on: each failure, and now and then the numbers."""

    def __init__(self, planned: int) -> None:
        self.planned = planned
        self.seen = 0
        self.failed = 0
        self.missing: list[str] = []
        self.thousand = Statistics()
        self.begun = CLOCK.monotonic()
        self.since = self.begun

    def __call__(self, report: CaseReport) -> None:
        """Take a report into account."""
        self.seen += 1
        self.thousand.add(report)
        if report.findings:
            self.failed += 1
            _tell(report)
        if self.seen % _EACH == 0:
            seconds = CLOCK.monotonic() - self.begun
            _say(
                f"{self.seen} of {self.planned} seeds, {self.failed} with a rule "
                f"broken, {seconds:.0f} s"
            )
        if self.thousand.total >= ENOUGH:
            self._end_of_thousand()

    def _end_of_thousand(self) -> None:
        now = CLOCK.monotonic()
        self.thousand.wall = now - self.since
        _say(show_statistics(self.thousand))
        self.missing += never_happened(self.thousand)
        self.thousand, self.since = Statistics(), now


def _search(options: argparse.Namespace) -> int:
    kind = None if options.store == "both" else options.store
    cases = [
        Case(
            seed,
            kind,
            planted=options.planted,
            commits=options.commits,
            shards=options.shards,
        )
        for seed in options.seeds
    ]
    teller = _Teller(len(cases))
    statistics = search(
        cases,
        jobs=options.jobs,
        stop_after=None if options.all else 1,
        told=teller,
        book=None if options.resume is None else Logbook(options.resume),
    )
    _say("\nall of them:")
    _say(show_statistics(statistics))
    for small in smallest(statistics):
        _say(small)
    if options.planted is not None:
        return 0 if statistics.failed else 1
    return 1 if statistics.failed or teller.missing else 0


if __name__ == "__main__":
    sys.exit(main())
