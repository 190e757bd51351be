"""What a commit means to those who listen: rows and records as events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiosched import planning
from aiosched._engine.events import EventBus
from aiosched.enums import Cause, JobState, Reason, RowKind
from aiosched.instants import SECOND, moment
from aiosched.logs import log
from aiosched.records import Change, Record, Row, State

__all__ = ["entries_again", "finishes", "tell", "tell_blocked", "tell_mended"]

_PASSED = (RowKind.SKIPPED, RowKind.MISSED, RowKind.EXCLUDED, RowKind.PAUSED)


def finishes(before: State | None, change: Change) -> bool:
    """Return whether a job has come to its end by itself with this change.

    Args:
        before: Its state until then; None: it was not at its end yet.
        change: What was decided.
    """
    if before is not None and before.status in (JobState.FINISHED, JobState.REMOVED):
        return False
    after = change.record
    if change.index_only:
        return False
    for row in change.rows:
        if row.kind is RowKind.REMOVED:
            return False
    return after is None or after.state.status is JobState.FINISHED


def entries_again(records: Mapping[str, Record | None], _: int) -> dict[str, Change]:
    """Decide to write the entries of jobs once more, so that others hear of them.

    For what a silent commit turns out to have changed for others, too.
    """
    return {
        job_id: Change(r, planning.instant(r.definition, r.state), index_only=True)
        for job_id, r in records.items()
        if r is not None
    }


def tell(bus: EventBus, job_id: str, change: Change, *, finished: bool) -> None:
    """Tell listeners what a commit of this peer says of slots, runs and the job."""
    for row in change.rows:
        if row.kind in _PASSED:
            _passed(bus, row)
        elif row.kind is RowKind.LOST:
            bus.emit("run_lost", row.job_id, fence=row.fence)
        elif row.kind is RowKind.REMOVED and row.reason is Reason.ITSELF:
            bus.emit("job_removed", row.job_id, reason=row.reason.value)
    if finished:
        bus.emit("job_finished", job_id)


def _passed(bus: EventBus, row: Row) -> None:
    bus.emit(
        "slots_passed",
        row.job_id,
        kind=row.kind.value,
        count=row.count,
        first=moment(row.slot),
        last=moment(max(row.until, row.slot)),
        reason=row.reason.value,
    )
    if row.kind is RowKind.MISSED:
        bus.emit(
            "missed",
            row.job_id,
            slot=moment(row.slot),
            overdue=(row.at - row.slot) / SECOND,
            recorded=True,
            reason=row.reason.value,
            cause=Cause.SLOT.value,
        )


def tell_mended(bus: EventBus, ids: Sequence[str]) -> None:
    """Tell of jobs whose index was wrong and has been put right."""
    log.warning(
        "the index of %d jobs was wrong and has been put right, such as that of %s",
        len(ids),
        ids[0],
        extra={"action": "index_mended", "job_id": ids[0], "jobs": list(ids)},
    )
    bus.emit("index_mended", jobs=list(ids))


def tell_blocked(bus: EventBus, seconds: float, jobs: Sequence[str]) -> None:
    """Tell that the event loop was blocked, and which jobs ran on it."""
    log.warning(
        "the event loop was blocked for about %.1f s; running were: %s",
        seconds,
        ", ".join(jobs) or "no jobs",
        extra={"action": "blocked", "seconds": seconds},
    )
    bus.emit("blocked", seconds=seconds, jobs=jobs)
