"""One seed, one trace: again, in other processes, under other hash seeds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from aiosched.testing.simulation.cases import Case, run_case
from aiosched.testing.simulation.shrink import difference
from aiosched.triggers import kinds
from aiosched.triggers.kinds import registry

CASES = (Case(3, "memory", commits=80), Case(5, "redis", commits=60))

_PROGRAMME = """
from aiosched.testing.simulation.cases import Case, run_case
for seed, kind, commits in ((3, "memory", 80), (5, "redis", 60)):
    print(run_case(Case(seed, kind, commits=commits)).digest)
"""


def digests(hash_seed: str) -> list[str]:
    """Run the cases in a fresh interpreter."""
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAMME],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.split()


@pytest.fixture
def no_others_triggers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers tell which triggers they know; other tests have made some."""
    own = {k: c for k, c in registry.items() if c.__module__.startswith("aiosched.")}
    monkeypatch.setattr(kinds, "registry", own)


@pytest.mark.usefixtures("no_others_triggers")
def test_other_processes_and_hash_seeds_give_the_same_trace() -> None:
    first = digests("1")
    assert first == digests("77777")
    assert len(set(first)) == len(CASES)
    assert first == [run_case(case).digest for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_runs_in_one_process_give_the_same_lines(case: Case) -> None:
    kept = Case(case.seed, case.kind, commits=case.commits, keep_trace=True)
    first, second = run_case(kept), run_case(kept)
    assert difference(first.lines, second.lines) is None
    assert len(first.lines) > 100
    assert first == second


def test_another_seed_is_another_run() -> None:
    one = run_case(Case(3, "memory", commits=100))
    other = run_case(Case(4, "memory", commits=100))
    assert one.digest != other.digest
