"""What a commit means to those who listen: rows and records as events."""

from __future__ import annotations

from collections.abc import Mapping

from aiosched import planning
from aiosched._engine.events import EventBus
from aiosched._engine.live import Live
from aiosched.enums import Cause, JobState, Reason, RowKind
from aiosched.instants import SECOND, moment
from aiosched.jobs import progress_of
from aiosched.records import Change, Record, Reported, Row, State

__all__ = ["entries_again", "finishes", "tell", "tell_progress"]

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


def tell_progress(bus: EventBus, live: Live, said: Reported) -> None:
    """Tell what of a run's progress the store has heard of."""
    if bus.hears("run_progress"):
        told = progress_of(said)
        bus.emit(
            "run_progress",
            live.job_id,
            fence=live.fence,
            done=told.done,
            note=told.note,
        )
