"""Records and decisions for the store contract.

The decisions are small and of their own: the contract tests what a store
promises, not what planning decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiosched.abc import MAX_BATCH, Decide, shard_of
from aiosched.enums import Cause, JobState, RowKind
from aiosched.instants import SECOND
from aiosched.records import (
    Change,
    Definition,
    LiveRun,
    Pending,
    Record,
    Row,
    Spec,
    Start,
    State,
)

__all__ = [
    "SHARDS",
    "claim",
    "create",
    "erase",
    "extend",
    "firing",
    "ids_in",
    "leaning",
    "new_record",
    "rewritten",
    "run_row",
    "settle",
    "touch",
]

SHARDS = 4
LEASE = 15 * SECOND


def ids_in(
    shard: int, count: int, stem: str = "job", shards: int = SHARDS
) -> list[str]:
    """Return that many ids of one shard."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        job_id = f"{stem}-{number}"
        if shard_of(job_id, shards) == shard:
            found.append(job_id)
        number += 1
    return found


def new_record(job_id: str, now: int, **spec: Any) -> Record:
    """Return the first record of a job whose spec has these fields."""
    given: dict[str, Any] = {"executor": "contract.work", **spec}
    return Record(Definition(job_id, Spec(**given)), State(seq=now, created=now))


def rewritten(record: Record, now: int, **state: Any) -> Record:
    """Return the record with other fields of its state, and a higher seq."""
    new = record.state.copy()
    new.seq = max(new.seq + 1, now)
    for name, value in state.items():
        setattr(new, name, value)
    return Record(record.definition, new)


def firing(key: str, slot: int, payload: bytes = b"") -> Pending:
    """Return a firing that waits."""
    return Pending(key, Cause.MANUAL, slot, slot, payload=payload)


def run_row(record: Record, run: LiveRun, now: int, *, final: bool = True) -> Row:
    """Return the ledger row of a run that succeeded now."""
    return Row(
        record.definition.id,
        RowKind.SUCCEEDED if final else RowKind.FAILED,
        now,
        slot=run.firing.slot,
        until=run.firing.slot,
        key=run.firing.key,
        cause=run.firing.cause,
        attempt=1,
        final=final,
        fence=run.fence,
        owner=run.owner,
        started=run.started,
        value=b'{"answer": 42}',
    )


def create(at: int | None = None, **spec: Any) -> Decide:
    """Make every job that there is not yet; ``answer`` says whether it was."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        return {
            job_id: Change(new_record(job_id, now, **spec), at, answer="created")
            for job_id, record in records.items()
            if record is None
        }

    return decide


def touch(at: int | None = None) -> Decide:
    """Write every record again, with one more firing that was asked for."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        return {
            job_id: Change(
                rewritten(record, now, counts=record.state.counts.plus(asked=1)), at
            )
            for job_id, record in records.items()
            if record is not None
        }

    return decide


def erase() -> Decide:
    """Delete every record, whatever it says."""

    def decide(records: Mapping[str, Record | None], _: int) -> dict[str, Change]:
        return {job_id: Change(None) for job_id in records}

    return decide


def claim(owner: str, lease: int = LEASE, limit: int = MAX_BATCH) -> Decide:
    """Start a run of every job that has none whose lease still lasts."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for job_id, record in records.items():
            if record is None or len(changes) == limit:
                continue
            if any(run.until > now for run in record.state.runs):
                continue
            waiting = record.state.waiting
            due = waiting[0] if waiting else firing(str(now), now)
            fence = max(record.state.seq + 1, now)
            run = LiveRun(fence, owner, now + lease, now, due)
            new = rewritten(record, now, runs=(run,), waiting=waiting[1:])
            start = Start(new.definition, run, new.state.version)
            changes[job_id] = Change(new, run.until, starts=(start,))
        return changes

    return decide


def _held(record: Record | None, owner: str, fence: int) -> LiveRun | None:
    runs = () if record is None else record.state.runs
    for run in runs:
        if (run.owner, run.fence) == (owner, fence):
            return run
    return None


def settle(owner: str, fence: int, *, final: bool = True) -> Decide:
    """End the run that carries this fence; a removed job goes with it."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for job_id, record in records.items():
            run = _held(record, owner, fence)
            if run is None or record is None:
                continue
            gone = record.state.status is JobState.REMOVED
            new = None if gone else rewritten(record, now, runs=())
            row = run_row(record, run, now, final=final)
            changes[job_id] = Change(new, rows=(row,), answer="settled")
        return changes

    return decide


def extend(owner: str, fence: int, lease: int = LEASE) -> Decide:
    """Prolong the lease of the run that carries this fence."""

    def decide(records: Mapping[str, Record | None], now: int) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for job_id, record in records.items():
            run = _held(record, owner, fence)
            if run is None or record is None:
                continue
            longer = LiveRun(fence, owner, now + lease, run.started, run.firing)
            changes[job_id] = Change(
                rewritten(record, now, runs=(longer,)), now + lease, answer="extended"
            )
        return changes

    return decide


def leaning(decide: Decide, act: Callable[[], None]) -> Decide:
    """Return the decision with something that happens during its first call."""
    done: list[bool] = []

    def leaned(records: Mapping[str, Record | None], now: int) -> Mapping[str, Change]:
        if not done:
            done.append(True)
            act()
        return decide(records, now)

    return leaned
