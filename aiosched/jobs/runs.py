"""What happened, as people read it: firings, runs and rows of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiosched.enums import Cause, Outcome, Reason, RowKind
from aiosched.instants import moment
from aiosched.jobs.plain import load_json
from aiosched.records import Row
from aiosched.rows import ELSEWHERE, unpack_act

__all__ = [
    "LATE",
    "OF_RUNS",
    "REPR_KEY",
    "Firing",
    "LedgerEntry",
    "Run",
    "RunFailure",
    "entry_of",
    "run_of",
]

REPR_KEY = "$repr"
"""Marks a result that JSON could not hold: ``{"$repr": text}``."""
LATE = timedelta(seconds=1)
"""How much after it was due a run that starts is called late."""

_OUTCOMES = {RowKind(outcome.value): outcome for outcome in Outcome}
_RETURNED = (Outcome.SUCCEEDED, Outcome.CANCELLED, Outcome.TIMED_OUT)
OF_RUNS = frozenset((*_OUTCOMES, RowKind.HANDED_BACK))
"""The kinds of rows that tell of a run."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A handle for something that was made to run; ``wait`` takes it.

    Two handles are equal if they name the same firing.

    Attributes:
        job_id: The job that fires.
        key: Identity within the job: a slot in microseconds since 1970, or the
            fire id.
        cause: Why it exists.
        fire_time: Its slot, or the instant at which it was asked for.
    """

    job_id: str
    key: str
    cause: Cause = field(compare=False)
    fire_time: datetime = field(compare=False)

    @property
    def id(self) -> str:
        """The job's id and the key as one text."""
        return f"{self.job_id}/{self.key}"


@dataclass(frozen=True, slots=True)
class RunFailure:
    """What an executor raised.

    Attributes:
        type: Name of the exception's class, with its module.
        message: Its text.
        traceback: Where it came from, cut to a readable length.
    """

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a firing.

    Attributes:
        job_id: The job.
        key: Identity of the firing within the job.
        cause: Why the firing exists.
        fire_time: Its slot, or the instant at which it was asked for.
        due: When this attempt was to start.  Of a first attempt: the fire time,
            moved by an exclusion's ``shift`` and by jitter; of a retry: the end
            of its back-off.  One that was lost or handed back is due as before;
            a backfilled slot is due when its turn comes.
        attempt: 1 for the first; 0 for a firing that was never started.
        outcome: How it ended; None where it was handed back to be run again.
        reason: Why it was cancelled; ``Reason.NONE`` if it was not.
        final: False if the firing was or will be tried again.
        peer: Incarnation id of the peer that ran it.
        fence: Token of the attempt; 0 for a firing that was never started.
        started_at: When it was claimed; None if it never was.
        ended_at: When its end was recorded, by the store's clock.
        missed: Slots that it stands for beside its own.
        value: JSON text of result or error, empty for none.
        faded: Whether result or error are not shown any more, because the
            job's ``keep_results`` has passed.
    """

    job_id: str
    key: str
    cause: Cause
    fire_time: datetime
    due: datetime
    attempt: int
    outcome: Outcome | None
    reason: Reason
    final: bool
    peer: str
    fence: int
    started_at: datetime | None
    ended_at: datetime
    missed: int = 0
    value: bytes = field(default=b"", repr=False)
    faded: bool = False

    @property
    def run_id(self) -> str:
        """Identity of the attempt: job id, firing and attempt."""
        return f"{self.job_id}/{self.key}/{self.attempt}"

    @property
    def firing(self) -> Firing:
        """The firing of which this was an attempt."""
        return Firing(self.job_id, self.key, self.cause, self.fire_time)

    @property
    def lateness(self) -> timedelta | None:
        """How long after ``due`` it was claimed; None if it never was.

        A back-off does not count, since a retry is due at its end; what a lost
        or handed back attempt has cost does.
        """
        return None if self.started_at is None else self.started_at - self.due

    @property
    def late(self) -> bool:
        """Whether it began a second or more after ``due``."""
        lateness = self.lateness
        return lateness is not None and lateness >= LATE

    @property
    def duration(self) -> timedelta | None:
        """From its claim to the record of its end; None if it was never claimed."""
        return None if self.started_at is None else self.ended_at - self.started_at

    @property
    def result(self) -> Any:
        """What the executor returned, as its JSON reads; None for nothing.

        Also what one that was told to stop returned by then.
        Where JSON could not hold it (see ``result_is_repr``), its ``repr``.
        """
        if self.outcome not in _RETURNED:
            return None
        value = _decoded(self.value)
        if self._marked(value):
            return value[REPR_KEY]
        return value

    @property
    def result_is_repr(self) -> bool:
        """Whether ``result`` only shows what the executor returned."""
        if self.outcome not in _RETURNED:
            return False
        return self._marked(_decoded(self.value))

    @staticmethod
    def _marked(value: object) -> bool:
        return isinstance(value, dict) and value.keys() == {REPR_KEY}

    @property
    def error(self) -> RunFailure | None:
        """What the executor raised; None if it did not."""
        if self.outcome in _RETURNED:
            return None
        value = _decoded(self.value)
        if not isinstance(value, dict) or "type" not in value:
            return None
        return RunFailure(
            str(value["type"]),
            str(value.get("message", "")),
            str(value.get("traceback", "")),
        )


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One row of a job's ledger: a run, a range of slots, a change, an act.

    Attributes:
        job_id: The job.
        kind: What happened.
        at: When it was decided, by the store's clock.
        first: The slot, or the first of a range; None where it concerns none.
        last: The last slot of a range; equals ``first`` for one.
        count: Slots that it accounts for.
        reason: Why; ``Reason.NONE`` where there is nothing to say.
        peer: Incarnation id of the peer that ran or decided; empty if unknown.
        fence: Of the run; for skipped slots, of the run that was in the way.
        run: The run; None where it is about slots or about the job itself.
        key: The firing of a run, or the one that was asked for; empty for none.
        by: Who paused, resumed, stopped, started, changed or removed the job;
            empty if nobody did (a pause came to its end).
        note: Why, in that person's words.
        fields: What a modification changed, sorted.
    """

    job_id: str
    kind: RowKind
    at: datetime
    first: datetime | None
    last: datetime | None
    count: int
    reason: Reason
    peer: str = ""
    fence: int = 0
    run: Run | None = None
    key: str = ""
    by: str = ""
    note: str = ""
    fields: tuple[str, ...] = ()


def run_of(row: Row, *, now: int | None = None) -> Run:
    """Read a ledger row that tells of a run.

    Args:
        row: The row.
        now: A value that has faded by then is left out; None: at the instant
            of the row, because it has just been written.

    Raises:
        ValueError: It tells of slots, or of the job itself.
    """
    if row.kind not in OF_RUNS:
        message = f"a {row.kind} row is not about a run"
        raise ValueError(message)
    faded = 0 < row.value_until <= (row.at if now is None else now)
    return Run(
        row.job_id,
        row.key,
        row.cause,
        moment(row.slot),
        moment(row.due or row.slot),
        row.attempt,
        _OUTCOMES.get(row.kind),
        row.reason,
        row.final,
        row.owner,
        row.fence,
        moment(row.started) if row.started else None,
        moment(row.at),
        row.missed,
        b"" if faded or row.value == ELSEWHERE else row.value,
        faded,
    )


def entry_of(row: Row, *, now: int | None = None) -> LedgerEntry:
    """Read any ledger row; ``now`` as for :func:`run_of`."""
    about_run = row.kind in OF_RUNS
    about_slots = about_run or row.count > 0
    act = unpack_act(b"" if about_slots else row.value)
    return LedgerEntry(
        row.job_id,
        row.kind,
        moment(row.at),
        moment(row.slot) if about_slots else None,
        moment(max(row.until, row.slot)) if about_slots else None,
        row.count,
        row.reason,
        row.owner,
        row.fence,
        run_of(row, now=now) if about_run else None,
        row.key,
        act.by,
        act.note,
        act.fields,
    )


def _decoded(value: bytes) -> Any:
    """Decode JSON text; what is none is shown as text, for history must show."""
    if not value:
        return None
    try:
        return load_json(value)
    except ValueError:
        return value.decode(errors="replace")
