"""Deliberate bugs, each of which the simulator must find."""

from __future__ import annotations

import functools

import pytest

from aiosched import IntervalTrigger, Job, planning
from aiosched._engine import attender, settler
from aiosched.testing import BrokenRuleError, run_virtual, simulate
from aiosched.testing.simulation.cases import Case, run_case
from aiosched.testing.simulation.planted import PLANTED, plant

RULES_BROKEN = {
    "blind-reap": {"holder", "lease", "index"},
    "counted": {"room"},
    "deaf-to-cancel": {"stopped"},
    "deaf-to-time": {"timeout"},
    "early-publish": {"signals"},
    "late-extension": {"abandoned"},
    "local-lease": {"due", "lease", "order"},
    "never-lapsed": {"lapsed"},
    "no-fence": {"holder", "lease"},
    "no-watch": {"decided", "fence", "lease", "once"},
    "one-try": {"abandoned"},
    "plain-sequence": {"fence", "order"},
    "rerun-all": {"lost", "twice"},
    "resend": {"order", "settled", "once", "fence", "holder", "decided"},
    "retry-for-ever": {"tries"},
    "settle-without-run": {"outcome"},
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


async def a_client_that_nobody_hears(seed: int) -> None:
    terms = {"beat": 5, "lease": 15, "member_timeout": 15}
    deaf = "lose:store:20:6:1"
    async with simulate(
        seed=seed, executors=["work"], incidents=deaf, terms=terms
    ) as cluster:
        cluster.add("client", lambda *_: None, run_jobs=False)
        await cluster.up("client")
        await cluster.run(seconds=22)
        # Each in a shard of its own: who looks at one job reads what lies beside it.
        for name in "xyz":
            job = Job("work", trigger=IntervalTrigger(seconds=30), id=name)
            await cluster.peer("client").scheduler.schedule(job, allow_unknown=True)
        await cluster.run(seconds=120)


def test_trust_in_signals_is_found_when_all_are_lost() -> None:
    found: list[str] = []
    for seed in range(4):
        run_virtual(functools.partial(a_client_that_nobody_hears, seed))
        try:
            with plant("trust-signals"):
                run_virtual(functools.partial(a_client_that_nobody_hears, seed))
        except BrokenRuleError as error:
            found += [one.rule for one in error.violations]
    # Where a peer has missed enough of its own signals, it reads everything again.
    assert set(found) == {"prompt"}


def test_each_bug_is_searched_for() -> None:
    assert RULES_BROKEN.keys() | {"trust-signals"} == PLANTED.keys()


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
