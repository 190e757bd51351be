"""Deliberate bugs, each of which the simulator must find."""

from __future__ import annotations

import pytest

from aiosched import planning
from aiosched._engine import attender, settler
from aiosched.testing.simulation.cases import Case, run_case
from aiosched.testing.simulation.planted import PLANTED, plant

RULES_BROKEN = {
    "blind-reap": {"holder", "lease", "decided"},
    "counted": {"room", "decided"},
    "local-lease": {"due", "decided", "lease", "order"},
    "no-fence": {"holder", "lease", "settled"},
    "no-watch": {"decided", "fence", "lease", "once"},
    "plain-sequence": {"fence", "order"},
}
"""By which rules those are found that show within a few seeds."""

SEEDS = 40
"""Three to four times as many as it takes as a rule; see the explanation."""


def test_there_are_enough_of_them_and_each_is_described() -> None:
    assert len(PLANTED) >= 8
    assert all(bug.text.endswith(".") for bug in PLANTED.values())


@pytest.mark.parametrize("name", sorted(RULES_BROKEN))
def test_a_planted_bug_is_found(name: str) -> None:
    for seed in range(SEEDS):
        found = run_case(Case(seed, PLANTED[name].kind, planted=name, commits=400))
        if found.findings:
            assert found.rules & RULES_BROKEN[name], found.findings
            return
    pytest.fail(f"{name} was not found in {SEEDS} seeds")


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_nothing_of_a_bug_is_left_behind(name: str) -> None:
    bug = PLANTED[name]
    before = [getattr(where, what) for where, what, _ in bug.patches()]
    with plant(name):
        during = [getattr(where, what) for where, what, _ in bug.patches()]
    after = [getattr(where, what) for where, what, _ in bug.patches()]
    assert after == before
    assert all(one is not other for one, other in zip(during, before, strict=True))
    assert attender.planning is settler.planning is planning


def test_a_bug_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="planted='none' is no bug"), plant("none"):
        pass
