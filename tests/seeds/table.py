"""The seeds table: which row of the seeds is shown by a test that passes.

A test carries the ids of the rows it shows, ``@pytest.mark.seed("S3-05")``.  A
row passes when it has a test and all its tests passed; a skipped or expected
failure shows nothing.  ``--seeds-table`` prints all rows at the end.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

__all__ = ["Settled", "rows", "settled"]

_HERE = Path(__file__).parent
_WIDTH = 78


@dataclass(frozen=True, slots=True)
class Settled:
    """A row that no test of a feature answers.

    Attributes:
        id: The row.
        how: ``document``, or ``design`` where the design decided otherwise.
        reason: Why, in a sentence.
        where: The place that says it: ``path`` or ``path#heading``.
    """

    id: str
    how: str
    reason: str
    where: str


def rows() -> dict[str, str]:
    """Return the line of each row by its id, in order."""
    text = (_HERE / "rows.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("\t", 1) for line in lines)


def settled() -> dict[str, Settled]:
    """Return the settled rows by their ids."""
    text = (_HERE / "settled.toml").read_text(encoding="utf-8")
    found = [Settled(**entry) for entry in tomllib.loads(text).get("row", [])]
    return {one.id: one for one in found}


@dataclass(slots=True)
class _Table:
    """Collects what happened to the tests of each row."""

    settled: dict[str, Settled]
    outcomes: dict[str, dict[str, str]] = field(default_factory=dict)

    def note(self, row: str, test: str, outcome: str) -> None:
        """Keep the worst outcome of the test's three phases."""
        seen = self.outcomes.setdefault(row, {})
        if outcome == "passed" and test in seen:
            return
        seen[test] = outcome

    def verdict(self, row: str) -> str:
        """Return pass, fail, missing, or settled by the design."""
        outcomes = self.outcomes.get(row, {}).values()
        if "failed" in outcomes:
            return "fail"
        if outcomes and all(outcome == "passed" for outcome in outcomes):
            return "pass"
        one = self.settled.get(row)
        return "settled" if one is not None and one.how == "design" else "missing"


_TABLE = pytest.StashKey[_Table]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that prints the table."""
    parser.getgroup("aiosched").addoption(
        "--seeds-table",
        action="store_true",
        help="print every row of the seeds with pass, fail or missing",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin an empty table."""
    config.stash[_TABLE] = _Table(settled())
    config.pluginmanager.register(_Collector(config.stash[_TABLE]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Carry the rows of each test in its reports; refuse ids that do not exist."""
    known = rows()
    for item in items:
        for mark in item.iter_markers("seed"):
            unknown = [row for row in mark.args if row not in known]
            if unknown or not mark.args:
                raise pytest.UsageError(f"{item.nodeid}: no such seed row: {unknown}")
            item.user_properties += [("seed", row) for row in mark.args]


class _Collector:
    """Hears the reports, which under xdist come from the workers."""

    def __init__(self, table: _Table) -> None:
        self._table = table

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of a phase for each row of its test."""
        outcome = "skipped" if hasattr(report, "wasxfail") else report.outcome
        if report.when != "call" and outcome == "passed":
            return
        for name, row in report.user_properties:
            if name == "seed":
                self._table.note(str(row), report.nodeid, outcome)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print all rows and their sums."""
    if not config.getoption("--seeds-table"):
        return
    table = config.stash[_TABLE]
    colours = {"fail": "red", "missing": "yellow"}
    sums: Counter[str] = Counter()
    terminalreporter.section("seeds")
    for row, title in rows().items():
        verdict = table.verdict(row)
        sums[verdict] += 1
        line = title if len(title) <= _WIDTH else title[: _WIDTH - 1] + "…"
        colour = {colours.get(verdict, "green"): True}
        terminalreporter.write_line(f"{row:<7} {verdict:<8}  {line}", **colour)
    for one in table.settled.values():
        terminalreporter.write_line(
            f"{one.id:<7} {one.how}: {one.reason} See {one.where}."
        )
    said = ", ".join(f"{count} {verdict}" for verdict, count in sums.most_common())
    terminalreporter.write_line(f"{sums.total()} rows: {said}")
