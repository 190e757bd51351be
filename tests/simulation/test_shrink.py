"""Shrinking: fewest incidents, round numbers, the same rule broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiosched.testing.simulation.cases import Case, CaseReport, Finding, run_case
from aiosched.testing.simulation.incidents import Incident, parse_incidents
from aiosched.testing.simulation.shrink import difference, fewest, rounder, shrink

EIGHT = tuple(Incident.stall(f"p{n}", n, seconds=1.2345) for n in range(8))


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1))
    )
)
def test_what_is_left_is_exactly_what_is_needed(drawn: tuple[int, set[int]]) -> None:
    count, needed = drawn
    given = tuple(Incident.stall(f"p{n}", n, seconds=1) for n in range(count))
    culprits = {given[n] for n in needed}
    assert set(fewest(given, lambda some: culprits <= set(some))) == culprits


@given(st.sets(st.frozensets(st.integers(0, 7), min_size=1), min_size=1, max_size=4))
def test_of_several_causes_one_is_left_without_anything_superfluous(
    causes: set[frozenset[int]],
) -> None:
    def fails(some: tuple[Incident, ...]) -> bool:
        kept = {EIGHT.index(one) for one in some}
        return any(cause <= kept for cause in causes)

    kept = fewest(EIGHT, fails)
    assert fails(kept)
    for place in range(len(kept)):
        assert not fails(kept[:place] + kept[place + 1 :])


def test_a_failure_that_needs_no_incident_shrinks_to_none() -> None:
    assert fewest(EIGHT, lambda _: True) == ()


def test_numbers_are_rounded_as_far_as_it_still_fails() -> None:
    (one,) = parse_incidents("stall:p2:13.754:8.973")
    assert rounder((one,), lambda _: True) == parse_incidents("stall:p2:14:9")
    within = lambda some: 13.7 < some[0].at < 13.9 and some[0].seconds > 8.95  # noqa: E731
    assert rounder((one,), within) == parse_incidents("stall:p2:13.8:9")
    assert rounder((one,), lambda _: False) == (one,)


def report_of(
    rule: Callable[[tuple[Incident, ...]], str | None],
) -> Callable[[Case], CaseReport]:
    """Stand in for the simulator: the rule that incidents break, by a function."""

    def run(case: Case) -> CaseReport:
        name = rule(case.incidents or ())
        found = () if name is None else (Finding(1.0, name, "job", "text"),)
        return CaseReport(case, found, Counter(), "", (), 0.0, 0.0)

    return run


def test_another_rule_that_is_broken_is_another_bug() -> None:
    def rule(some: tuple[Incident, ...]) -> str | None:
        if {"p2", "p5"} <= {one.target for one in some}:
            return "fence"
        return "index" if len(some) < 3 else None

    run = report_of(rule)
    found = shrink(run(Case(7, incidents=EIGHT)), run=run)
    assert found.report.rules == {"fence"}
    assert {one.target for one in found.report.case.incidents or ()} == {"p2", "p5"}
    assert found.before == 8
    assert "8 incidents shrank to 2" in str(found)
    assert '--incidents "stall:p2:2:1;stall:p5:5:1"' in str(found)


def test_shrinking_gives_up_in_time_with_what_it_has() -> None:
    run = report_of(lambda some: "fence" if len(some) > 1 else None)
    found = shrink(run(Case(7, incidents=EIGHT)), run=run, most=3)
    assert found.runs == 3
    assert found.report.rules == {"fence"}


def test_the_first_difference_of_two_traces_is_shown() -> None:
    assert difference(["a", "b"], ["a", "b"]) is None
    assert difference(["a", "b"], ["a", "c"]) == "line 2:\n- b\n+ c"
    assert difference(["a"], ["a", "c"]) == "line 2:\n- (the end)\n+ c"
    assert difference(["a", "b"], ["a"]) == "line 2:\n- b\n+ (the end)"


@pytest.mark.parametrize(("name", "first"), [("no-fence", 4), ("local-lease", 6)])
def test_a_seed_that_finds_a_planted_bug_shrinks_to_three_incidents_or_fewer(
    name: str, first: int
) -> None:
    for seed in range(first, first + 30):
        found = run_case(Case(seed, "memory", planted=name, commits=150))
        if found.findings and len(found.case.incidents or ()) > 5:
            break
    else:
        pytest.fail(f"{name} was not found among many incidents")
    small = shrink(found)
    assert small.before > 5
    assert len(small.report.case.incidents or ()) <= 3
    again = run_case(small.report.case)
    assert again == small.report
    assert again.rules & found.rules
    # Without the bug nothing is wrong with it.
    assert not run_case(replace(small.report.case, planted=None)).findings
