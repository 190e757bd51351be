"""A share of the seeds in each run of the tests, and those that once failed.

The long form is ``nox -s simulate``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from aiosched.testing.simulation.cases import Case, CaseReport, run_case
from aiosched.testing.simulation.incidents import parse_incidents
from aiosched.testing.simulation.world import StoreKind

FAILED = Path(__file__).with_name("failed_seeds.txt")

MEMORY = 20
REDIS = 5
"""Seeds over each store; with 1,000 transactions each, about half a minute in all."""


def told(report: CaseReport) -> str:
    """Return what there is to be said of a run that broke a rule."""
    lines = [report.case.replay, *map(str, report.findings[:5])]
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(MEMORY))
def test_a_seed_over_the_memory_store_breaks_no_rule(seed: int) -> None:
    report = run_case(Case(seed, "memory"))
    assert not report.findings, told(report)
    assert report.counts["commits"] > 100


@pytest.mark.parametrize("seed", range(1000, 1000 + REDIS))
def test_a_seed_over_the_redis_store_breaks_no_rule(seed: int) -> None:
    report = run_case(Case(seed, "redis"))
    assert not report.findings, told(report)
    assert report.counts["commits"] > 100


def failed_ones() -> list[tuple[str, Case]]:
    """Read the runs that once failed, with the rules that they broke."""
    found = []
    for line in FAILED.read_text().splitlines():
        if not line.startswith("#") and line.strip():
            rule, store, commits, seed, incidents, _ = map(str.strip, line.split("|"))
            kind: StoreKind = "redis" if store == "redis" else "memory"
            given = parse_incidents(incidents)
            found.append((rule, Case(int(seed), kind, given, commits=int(commits))))
    return found


@pytest.mark.parametrize(("rule", "case"), failed_ones(), ids=str)
def test_what_once_failed_breaks_its_rule_no_more(rule: str, case: Case) -> None:
    report = run_case(case)
    assert rule not in report.rules, told(report)
