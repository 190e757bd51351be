"""What rules are asked about: one committed change, and what was before it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from aiosched.enums import JobState, RowKind
from aiosched.records import Apart, Blob, LiveRun, Pending, Record, Row
from aiosched.testing.simulation.commits import Commit

__all__ = ["Claim", "Firing", "Past", "Step", "of_run", "plain", "renewed"]


class Firing(NamedTuple):
    """Which firing is meant.

    Attributes:
        created: When its job was; the id of a removed job may be taken again.
    """

    job_id: str
    created: int
    key: str


class Claim(NamedTuple):
    """One attempt at a firing, as it was claimed.

    Attributes:
        node: Who sent the claim.
        run: The claim itself; its lease may have been prolonged since.
    """

    firing: Firing
    node: str | None
    at: int
    run: LiveRun


@dataclass(slots=True)
class Past:
    """What was committed so far, as far as rules ask.

    Attributes:
        records: The records as they were left, by id.
        fences: The highest fence of each job ever, whatever was lost since.
        finals: The instant at which each firing's final outcome was committed.
        ends: What the ledger says of the end of each attempt, by (job, fence).
        attempts: The fences of each firing's attempts, in order.
        claims: What was claimed, by (job, fence).
    """

    records: dict[str, Record] = field(default_factory=dict)
    fences: dict[str, int] = field(default_factory=dict)
    finals: dict[Firing, int] = field(default_factory=dict)
    ends: dict[tuple[str, int], Row] = field(default_factory=dict)
    attempts: dict[Firing, list[int]] = field(default_factory=dict)
    claims: dict[tuple[str, int], Claim] = field(default_factory=dict)

    def take(self, step: Step, now: int) -> None:
        """Remember a step, after it was judged.

        Args:
            step: What was committed.
            now: When: a round trip after the instant with which it was decided.
        """
        commit = step.commit
        if commit.after is None:
            self.records.pop(commit.job_id, None)
        else:
            self.records[commit.job_id] = commit.after
        for row in commit.rows:
            if row.fence and of_run(row):
                self.ends[row.job_id, row.fence] = row
            if row.final:
                self.finals[step.firing(row)] = now
        for run in step.begun:
            self.fences[commit.job_id] = max(
                run.fence, self.fences.get(commit.job_id, 0)
            )
            firing = Firing(commit.job_id, step.created, run.firing.key)
            self.attempts.setdefault(firing, []).append(run.fence)
            claim = Claim(firing, commit.node, commit.at, run)
            self.claims[commit.job_id, run.fence] = claim


@dataclass(slots=True)
class Step:
    """One committed change, and what rules need to judge it.

    Attributes:
        past: What was committed before.
        lease: How long claims hold, in microseconds.
        owners: The node of each peer's incarnation id, as far as known.
        begun: Runs that the change begins.
        gone: Runs that it ends, one way or the other.
    """

    commit: Commit
    past: Past
    lease: int
    owners: Mapping[str, str]
    begun: tuple[LiveRun, ...] = ()
    gone: tuple[LiveRun, ...] = ()

    def __post_init__(self) -> None:
        """Compare the runs before and after."""
        before, after = self.commit.before, self.commit.after
        old = before.state.runs if before is not None else ()
        new = after.state.runs if after is not None else ()
        if old is new or old == new:
            return
        earlier = {run.fence for run in old}
        later = {run.fence for run in new}
        self.begun = tuple(run for run in new if run.fence not in earlier)
        self.gone = tuple(run for run in old if run.fence not in later)

    @property
    def created(self) -> int:
        """When the job was created that the change concerns."""
        record = self.commit.before
        if record is None or renewed(self.commit):
            record = self.commit.after
        return 0 if record is None else record.state.created

    def firing(self, row: Row) -> Firing:
        """Return which firing a row speaks of.

        A run of a removed job may end under the record of the next of that id.
        """
        claim = self.past.claims.get((row.job_id, row.fence))
        if claim is not None:
            return claim.firing
        return Firing(row.job_id, self.created, row.key)


def plain(record: Record | None) -> Record | None:
    """Return a record with digests in place of bytes, which may be kept apart."""
    if record is None:
        return None
    state = record.state.copy()
    state.waiting = tuple(_digested(one) for one in state.waiting)
    state.runs = tuple(replace(r, firing=_digested(r.firing)) for r in state.runs)
    arguments = _digest(record.definition.arguments)
    return Record(replace(record.definition, arguments=arguments), state)


def _digested(firing: Pending) -> Pending:
    return replace(firing, payload=_digest(firing.payload))


def _digest(blob: Blob) -> bytes:
    if isinstance(blob, Apart):
        return blob.digest.encode()
    return hashlib.blake2b(blob, digest_size=16).hexdigest().encode()


def of_run(row: Row) -> bool:
    """Tell whether a row says how an attempt ended."""
    return row.kind in _ENDINGS


_ENDINGS = frozenset(
    {
        RowKind.SUCCEEDED,
        RowKind.FAILED,
        RowKind.TIMED_OUT,
        RowKind.CANCELLED,
        RowKind.LOST,
        RowKind.EXPIRED,
        RowKind.HANDED_BACK,
    }
)


def renewed(commit: Commit) -> bool:
    """Tell whether the id was given to a new job, with no gap between."""
    before, after = commit.before, commit.after
    return (
        before is not None
        and after is not None
        and before.state.status in (JobState.REMOVED, JobState.FINISHED)
        and before.state.created != after.state.created
    )
