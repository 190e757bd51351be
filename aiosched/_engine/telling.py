"""What a commit means to those who listen: rows and records as events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from aiosched import planning
from aiosched._engine.events import EventBus
from aiosched._engine.live import Live
from aiosched._engine.service import Service
from aiosched.enums import Cause, JobState, Reason, RowKind
from aiosched.instants import SECOND, moment
from aiosched.jobs import Job, LedgerEntry, entry_of, progress_of
from aiosched.jobs.conversions import job_of_definition
from aiosched.jobs.snapshots import Snapshot
from aiosched.logs import log
from aiosched.records import Change, Definition, Record, Reported, Row, State

__all__ = [
    "Recorded",
    "entries_again",
    "finishes",
    "tell",
    "tell_ailing",
    "tell_away",
    "tell_back",
    "tell_blocked",
    "tell_lost",
    "tell_mended",
    "tell_progress",
]

_PASSED = (RowKind.SKIPPED, RowKind.MISSED, RowKind.EXCLUDED, RowKind.PAUSED)


class Recorded:
    """A row of the ledger that this peer has written, and the job it is about.

    What takes work to make is made when it is first asked for.
    """

    def __init__(self, row: Row, change: Change, definition: Definition | None) -> None:
        """Tell of one row of a change; the definition where no record is left."""
        record = change.record
        self._row = row
        self._definition = definition if record is None else record.definition
        self._state = None if record is None else record.state
        taken_out = any(one.kind is RowKind.REMOVED for one in change.rows)
        self._gone = JobState.REMOVED if taken_out else JobState.FINISHED
        self._before = change.before if row.kind is RowKind.MODIFIED else None

    @cached_property
    def entry(self) -> LedgerEntry:
        """The row."""
        return entry_of(self._row)

    @cached_property
    def job(self) -> Job | None:
        """The job as the change left it, or as it was where nothing is left of it.

        Without what a store adds but version and state; None if it is not known.
        """
        return _job(self._definition, self._state, self._gone)

    @cached_property
    def before(self) -> Job | None:
        """The job as it was before a modification; None of anything else."""
        return _job(self._before, None, JobState.ACTIVE)


def _job(
    definition: Definition | None, state: State | None, gone: JobState
) -> Job | None:
    if definition is None:
        return None
    known = gone if state is None else state.status
    version = 0 if state is None else state.version
    return job_of_definition(definition, Snapshot(version=version, state=known))


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


def tell(
    bus: EventBus,
    job_id: str,
    change: Change,
    *,
    finished: bool,
    definition: Definition | None = None,
) -> None:
    """Tell listeners what a commit of this peer says of slots, runs and the job.

    Args:
        bus: Of those who listen.
        job_id: The job.
        change: What was written.
        finished: Whether the job has come to its end with it.
        definition: Of the job as it was, for where nothing is left of it.
    """
    heard = bus.hears("recorded")
    for row in change.rows:
        if heard:
            bus.emit("recorded", job_id, recorded=Recorded(row, change, definition))
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


def tell_lost(bus: EventBus, live: Live) -> None:
    """Tell that the lease of a run was lost."""
    log.warning(
        "the lease of a run of %s was lost", live.job_id, extra=live.said("run_lost")
    )
    bus.emit("run_lost", live.job_id, fence=live.fence)


def tell_away(bus: EventBus, service: Service, error: Exception) -> None:
    """Tell that the store does not answer, and who has found that out."""
    log.warning(
        "the store is away: %s",
        error,
        extra={"action": "store_down", "service": service.name},
    )
    bus.emit("store_down", service=service.name, error=str(error))


def tell_back(bus: EventBus) -> None:
    """Tell that the store answers again."""
    log.warning("the store is back", extra={"action": "store_up"})
    bus.emit("store_up")


def tell_ailing(service: Service) -> None:
    """Tell of a service that fails although the store answers, or goes on again."""
    if service.healthy:
        log.warning(
            "the %s goes on again",
            service.name,
            extra={"action": "service_up", "service": service.name},
        )
        return
    log.warning(
        "the %s fails, and the store answers others: %s",
        service.name,
        service.trouble,
        extra={"action": "service_down", "service": service.name},
    )
