"""One run of one seed: everything that it needs, and what came of it."""

from __future__ import annotations

import gc
import importlib
import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiosched.testing.loop import START
from aiosched.testing.simulation.incidents import Incident, show_incidents
from aiosched.testing.simulation.plans import plan
from aiosched.testing.simulation.trial import run_trial
from aiosched.testing.simulation.workload import draw_workload
from aiosched.testing.simulation.world import StoreKind

__all__ = ["COMMITS", "FINDING", "Case", "CaseReport", "Finding", "run_case"]

COMMITS = 1_000
_REDIS_SHARE = 10
"""One of so many seeds runs over the Redis store, unless it is said which."""

FINDING = "raised"
"""The rule that is broken by a run that raises."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is run; equal cases end equally, in every process.

    Attributes:
        seed: Decides everything that is not given here.
        kind: Over which store; None: drawn, each tenth seed over Redis.
        incidents: What happens; None: drawn.
        planted: Name of a deliberate bug in the product; None: as it is.
        commits: About how many transactions there are to be.
        keep_trace: Keep the lines of the trace in the report.
        shards: How many there are; None: drawn, at most 8.  Of the few jobs of a
            cluster hardly two share one of many shards.
    """

    seed: int
    kind: StoreKind | None = None
    incidents: tuple[Incident, ...] | None = None
    planted: str | None = None
    commits: int = COMMITS
    keep_trace: bool = False
    shards: int | None = None

    @property
    def store(self) -> StoreKind:
        """Over which store it runs."""
        if self.kind is not None:
            return self.kind
        return "memory" if self.seed % _REDIS_SHARE else "redis"

    @property
    def replay(self) -> str:
        """The command that runs the same again."""
        words = [f"python -m aiosched.testing replay --seed {self.seed}"]
        words.append(f"--store {self.store}")
        if self.commits != COMMITS:
            words.append(f"--commits {self.commits}")
        if self.shards is not None:
            words.append(f"--shards {self.shards}")
        if self.incidents is not None:
            words.append(f'--incidents "{show_incidents(self.incidents)}"')
        if self.planted is not None:
            words.append(f"--planted {self.planted}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that was broken; what the judge's violations are as data.

    Attributes:
        second: Virtual second.
        rule: Its name.
        job_id: The job concerned; empty for none.
        text: What was found.
    """

    second: float
    rule: str
    job_id: str
    text: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.second:.6f}s {self.rule}: {self.job_id or '-'}: {self.text}"


@dataclass(frozen=True, slots=True)
class CaseReport:
    """What came of a case.

    Attributes:
        case: What was run, with its incidents and its store.
        findings: Rules that were broken, in the order of their finding.
        counts: What happened, by name.
        digest: Hash of the trace; equal for equal runs.
        lines: The trace, if it was to be kept.
        virtual: Virtual seconds that it took.
        seconds: Of a processor; no two runs agree on it.
    """

    case: Case
    findings: tuple[Finding, ...]
    counts: Counter[str]
    digest: str
    lines: tuple[str, ...]
    virtual: float
    seconds: float = field(compare=False)

    @property
    def rules(self) -> frozenset[str]:
        """Names of the rules that were broken."""
        return frozenset(one.rule for one in self.findings)


def run_case(case: Case) -> CaseReport:
    """Run one seed to its end, on a loop of its own, and have it judged.

    What the run raises is a finding of the rule ``raised``.  Must not be
    called where an event loop is running.
    """
    begun = time.process_time()
    work = draw_workload(case.seed, START, commits=case.commits)
    if case.shards is not None:
        work = replace(work, terms={**work.terms, "shards": case.shards})
    names = [peer.name for peer in work.peers]
    if case.incidents is None:
        drawn = plan(case.seed, names, work.seconds, lease=work.terms["lease"])
        case = replace(case, incidents=drawn)
    case = replace(case, kind=case.store)
    with ExitStack() as stack:
        stack.enter_context(_undisturbed())
        if case.planted is not None:
            stack.enter_context(_planted(case.planted))
        try:
            trial = run_trial(
                case.seed,
                kind=case.store,
                incidents=case.incidents,
                keep_trace=case.keep_trace,
                workload=work,
            )
        except Exception as error:
            what = str(error).partition("\n")[0]
            found = Finding(0.0, FINDING, "", f"{type(error).__name__}: {what}")
            spent = time.process_time() - begun
            return CaseReport(case, (found,), Counter(), "", (), 0.0, spent)
    findings = tuple(
        Finding(one.second, one.rule, one.job_id, one.text) for one in trial.violations
    )
    return CaseReport(
        case,
        findings,
        trial.counts,
        trial.digest,
        trial.lines,
        trial.seconds,
        time.process_time() - begun,
    )


def _planted(name: str) -> AbstractContextManager[object]:
    module: Any = importlib.import_module("aiosched.testing.simulation.planted")
    planted: AbstractContextManager[object] = module.plant(name)
    return planted


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the collector and the log out of a run.

    What is collected in the middle of it would run ``finally`` blocks there,
    at a moment that depends on everything that was done before.
    """
    was = gc.isenabled()
    level = logging.root.manager.disable
    gc.disable()
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        if was:
            gc.enable()
