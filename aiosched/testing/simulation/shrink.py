"""Making a failing run small: fewer incidents, and rounder numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aiosched.testing.simulation.cases import Case, CaseReport, run_case
from aiosched.testing.simulation.incidents import Incident

__all__ = ["Shrunk", "difference", "fewest", "rounder", "shrink"]

Fails = Callable[[tuple[Incident, ...]], bool]

MOST_RUNS = 120
"""Runs after which the smallest that was found by then has to do."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What a failing run shrank to.

    Attributes:
        report: Of the small run, which breaks one of the same rules.
        before: How many incidents there were.
        runs: How often it was tried.
    """

    report: CaseReport
    before: int
    runs: int

    def __str__(self) -> str:
        """Tell in a few lines what failed and how it can be run again."""
        case = self.report.case
        after = len(case.incidents or ())
        first = "\n  ".join(str(one) for one in self.report.findings[:3])
        return (
            f"seed {case.seed} over {case.store}: {self.before} incidents shrank "
            f"to {after} in {self.runs} runs\n  {first}\n  {case.replay}"
        )


class _Tries:
    """Runs what is asked, and remembers the last that failed the same way."""

    def __init__(
        self, report: CaseReport, run: Callable[[Case], CaseReport], most: int
    ) -> None:
        self.smallest = report
        self.runs = 0
        self._rules = report.rules
        self._run = run
        self._most = most

    def fails(self, incidents: tuple[Incident, ...]) -> bool:
        """Tell whether one of the same rules is broken by these incidents."""
        if self.runs >= self._most:
            return False
        self.runs += 1
        report = self._run(replace(self.smallest.case, incidents=incidents))
        if not self._rules & report.rules:
            return False
        self.smallest = report
        return True


def shrink(
    report: CaseReport,
    *,
    run: Callable[[Case], CaseReport] = run_case,
    most: int = MOST_RUNS,
) -> Shrunk:
    """Make a failing run as small as can be: it must break one of the same rules.

    Args:
        report: Of the run that failed; its case names its incidents.
        run: Runs a case.
        most: How often, at most.
    """
    given = report.case.incidents or ()
    tries = _Tries(report, run, most)
    found = fewest(given, tries.fails)
    rounder(found, tries.fails)
    return Shrunk(tries.smallest, len(given), tries.runs)


def fewest(incidents: Sequence[Incident], fails: Fails) -> tuple[Incident, ...]:
    """Leave out as many incidents as can be left out (delta debugging).

    What is returned fails (or is what was given), and does not without any one
    of its incidents, unless ``fails`` ran out of tries.
    """
    kept = tuple(incidents)
    if kept and fails(()):
        return ()
    parts = 2
    while len(kept) > 1:
        size = -(-len(kept) // parts)
        for first in range(0, len(kept), size):
            rest = kept[:first] + kept[first + size :]
            if rest and fails(rest):
                kept = rest
                parts = max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(kept), parts * 2)
    return kept


def rounder(incidents: Sequence[Incident], fails: Fails) -> tuple[Incident, ...]:
    """Write the numbers of incidents as short as they can be."""
    kept = list(incidents)
    for place in range(len(kept)):
        for field in ("at", "seconds", "amount"):
            value = getattr(kept[place], field)
            for digits in (0, 1):
                short = None if value is None else round(value, digits)
                if not short or short == value:
                    continue
                shorter = [*kept]
                shorter[place] = replace(kept[place], **{field: short})
                if fails(tuple(shorter)):
                    kept = shorter
                    break
    return tuple(kept)


def difference(first: Sequence[str], second: Sequence[str]) -> str | None:
    """Return the first difference of two traces, or None if there is none."""
    for number, (left, right) in enumerate(zip(first, second, strict=False)):
        if left != right:
            return f"line {number + 1}:\n- {left}\n+ {right}"
    if len(first) == len(second):
        return None
    number = min(len(first), len(second))
    left = first[number] if number < len(first) else "(the end)"
    right = second[number] if number < len(second) else "(the end)"
    return f"line {number + 1}:\n- {left}\n+ {right}"
