"""The records that stores keep and planning decides over.

Plain slotted classes, no validation: they are made from models that were
validated once, or decoded from what this code wrote.  Treat every instance as
immutable once it has been handed on; planning copies before it changes.  Of those
that are made for each run, type checkers alone see to that.

Instants and durations are whole microseconds (:mod:`aiosched.instants`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiosched.enums import (
    Cause,
    Coalesce,
    JobState,
    OnLost,
    Outcome,
    Overlap,
    Reason,
    RowKind,
)
from aiosched.triggers.base import Trigger
from aiosched.values import value

__all__ = [
    "MAX_WAITING",
    "SCHEMA",
    "Apart",
    "Blob",
    "Change",
    "Counts",
    "Definition",
    "Ended",
    "LiveRun",
    "Pending",
    "Record",
    "Reported",
    "RetryRule",
    "Row",
    "Spec",
    "Start",
    "State",
    "schema_of",
]

SCHEMA = 1
"""The highest schema of records that this version reads; later ones stay alone."""

MAX_WAITING = 100
"""Firings that may wait in one record; each write of it rewrites them all."""


@dataclass(frozen=True, slots=True)
class Apart:
    """Bytes that a store keeps outside the record because they are large.

    Only stores make these.  They resolve them in what ``transact`` starts and
    in what ``read`` returns; planning passes them through unopened.
    """

    key: str
    size: int
    digest: str = ""
    """BLAKE2b-128 of the bytes in hexadecimal, so that they can be compared."""


Blob = bytes | Apart
"""JSON text of arguments or of a payload, in the record or apart from it."""


@dataclass(frozen=True, slots=True)
class RetryRule:
    """When a failed run is tried again.

    Attributes:
        attempts: Starts in all, the first included; lost ones do not count.
        delay: Back-off before the second attempt.
        factor: Each further back-off is so many times the one before.
        cap: Longest back-off.
        jitter: Part of the back-off that is varied, 0 to 1, by a hash of
            (job id, firing, attempt).
        errors: Names of exception classes to retry; empty: every exception.
        timeouts: Whether a run that reached its time limit is retried.
    """

    attempts: int
    delay: int
    factor: float = 2.0
    cap: int = 3_600_000_000
    jitter: float = 0.0
    errors: tuple[str, ...] = ()
    timeouts: bool = True


@value(frozen=True, slots=True)
class Spec:
    """What jobs can share: everything but id, own instants and arguments.

    Attributes:
        trigger: The rule without its own instant, or None.
        misfire_grace: None means the default rule of ``planning.misfire``.
        keep: How long the finished record stays, from its end; 0: not at all.
        keep_last: Outcomes that a record carries beside the ledger.
        meta: JSON text of the user's own data, ``""`` for none.
        declared: Revision that declared the job in code, or None.
    """

    executor: str
    trigger: Trigger | None = None
    keyword: str | None = None
    queue: str = "default"
    max_runs: int | None = None
    misfire_grace: int | None = None
    coalesce: Coalesce = Coalesce.LATEST
    overlap: Overlap = Overlap.SKIP
    max_running: int = 1
    jitter: int = 0
    timeout: int | None = None
    retry: RetryRule | None = None
    on_lost: OnLost = OnLost.RERUN
    max_lost: int = 3
    keep: int = 0
    keep_last: int = 10
    tags: tuple[str, ...] = ()
    note: str = ""
    meta: str = ""
    declared: int | None = None
    coalesce_limit: int | None = None
    """With ``coalesce="all"``: how many slots that are due at once are fired."""
    keep_results: int | None = None
    """How long the value of an outcome is kept; None: as long as its row."""
    delay: int | None = None
    """Run once, so long after it was scheduled; that instant is the anchor."""
    unpinned: Trigger | None = None
    """The trigger as it was given, where pinning has made another of it."""


NO_ARGUMENTS = b""


@value(frozen=True, slots=True)
class Definition:
    """One job as its user wrote it.

    Attributes:
        anchor: The trigger's own instant (a date, an interval's start).
        arguments: JSON text ``[[args...],{kwargs...}]``; empty for none.
    """

    id: str
    spec: Spec
    anchor: int | None = None
    arguments: Blob = NO_ARGUMENTS


@value(frozen=True, slots=True)
class Pending:
    """A firing that has no final outcome yet.

    Attributes:
        key: Identity within the job: the slot in decimal, or the fire id.
        slot: Its nominal instant; for a fire, the instant it was asked for.
        at: Not to be started before.
        attempt: Starts so far that count (a run handed back does not).
        lost: How many of them were lost with their peer.
        missed: Slots that it stands for beside its own (coalesced ones).
        expires: Dropped as ``expired`` if not started before; None: never.
        payload: What ``fire_job`` brought; empty for none.
        open: Tried before, so that it counts against ``max_running``.
        trace: Context of the call that asked for it; empty: nobody traces.
    """

    key: str
    cause: Cause
    slot: int
    at: int
    attempt: int = 0
    lost: int = 0
    missed: int = 0
    expires: int | None = None
    payload: Blob = b""
    open: bool = False
    trace: str = ""

    def tried(self) -> Pending:
        """Return it as it is while an attempt more is under way."""
        return Pending(
            self.key,
            self.cause,
            self.slot,
            self.at,
            self.attempt + 1,
            self.lost,
            self.missed,
            self.expires,
            self.payload,
            open=True,
            trace=self.trace,
        )


@value(frozen=True, slots=True)
class Reported:
    """What a run has said of how far it is.

    Attributes:
        share: Ten-thousandths of the work that are done; None: it did not say.
        note: In its own words; empty for none.
        at: When the store heard of it; 0: it has not yet.
    """

    share: int | None
    note: str
    at: int = 0


@value(frozen=True, slots=True)
class LiveRun:
    """A claimed firing.

    Attributes:
        fence: Ordered token of this attempt, unique for the job.
        owner: Incarnation id of the peer that claimed it.
        until: End of the lease, by the store's clock.
        started: When it was claimed.
        cancel: Why it is to be stopped; ``Reason.NONE`` while it is not.
        progress: What it has said of how far it is, if it has.
    """

    fence: int
    owner: str
    until: int
    started: int
    firing: Pending
    cancel: Reason = Reason.NONE
    progress: Reported | None = None


@value(frozen=True, slots=True)
class Counts:
    """Sums over a job's life; the ledger says the same, row by row.

    ``slots = fired + skipped + missed + excluded + paused`` and
    ``fired + asked = succeeded + failed + timed_out + cancelled + lost +
    expired + open firings``.
    """

    fired: int = 0
    asked: int = 0
    skipped: int = 0
    missed: int = 0
    excluded: int = 0
    paused: int = 0
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    lost: int = 0
    expired: int = 0

    def plus(
        self,
        *,
        fired: int = 0,
        asked: int = 0,
        skipped: int = 0,
        missed: int = 0,
        excluded: int = 0,
        paused: int = 0,
        succeeded: int = 0,
        failed: int = 0,
        timed_out: int = 0,
        cancelled: int = 0,
        lost: int = 0,
        expired: int = 0,
    ) -> Counts:
        """Return the sums with so many more of each added."""
        # A loop over the fields would cost several times as much.
        return Counts(
            self.fired + fired,
            self.asked + asked,
            self.skipped + skipped,
            self.missed + missed,
            self.excluded + excluded,
            self.paused + paused,
            self.succeeded + succeeded,
            self.failed + failed,
            self.timed_out + timed_out,
            self.cancelled + cancelled,
            self.lost + lost,
            self.expired + expired,
        )

    @property
    def slots(self) -> int:
        """Slots accounted for."""
        return self.fired + self.skipped + self.missed + self.excluded + self.paused

    @property
    def outcomes(self) -> int:
        """Firings with a final outcome."""
        return (
            self.succeeded
            + self.failed
            + self.timed_out
            + self.cancelled
            + self.lost
            + self.expired
        )


NO_COUNTS = Counts()
"""Shared by all fresh records, which are many."""


@dataclass(slots=True)
class State:
    """What a job's record says beside its definition.

    Attributes:
        seq: Sequence number; every write raises it, fences are drawn from it.
        version: Of the definition; 1 at creation, one more per modification.
        next: Next slot that is not accounted for; None: there is none.
        since: First slot of the present definition's era, None before one.
        latest: Latest slot that is accounted for in this era.
        former: Slots accounted for in earlier eras.
        runs: Claimed firings, oldest first.
        waiting: Firings to be started, in order; at most ``MAX_WAITING`` that
            were never started, and those that wait for their next attempt.
        ends: When the retention of a finished record ends.
        pause_until: When a pause ends by itself.
        pause_note: What the person who paused it wrote.
        recent: Packed rows of the last final outcomes, newest first.
        trace: Context of the call that created the job; empty: nobody traces.
    """

    seq: int
    created: int
    version: int = 1
    status: JobState = JobState.ACTIVE
    next: int | None = None
    since: int | None = None
    latest: int | None = None
    former: int = 0
    runs: tuple[LiveRun, ...] = ()
    waiting: tuple[Pending, ...] = ()
    counts: Counts = NO_COUNTS
    ends: int | None = None
    pause_until: int | None = None
    pause_note: str = ""
    recent: tuple[str, ...] = ()
    trace: str = ""

    def copy(self) -> State:
        """Return a copy that may be changed."""
        return State(
            self.seq,
            self.created,
            self.version,
            self.status,
            self.next,
            self.since,
            self.latest,
            self.former,
            self.runs,
            self.waiting,
            self.counts,
            self.ends,
            self.pause_until,
            self.pause_note,
            self.recent,
            self.trace,
        )


@value(frozen=True, slots=True)
class Record:
    """A stored job: definition and state, always read and written as one."""

    definition: Definition
    state: State


def schema_of(record: Record) -> int:
    """Return the schema with which a record is written.

    The lowest that can say it, and never simply the highest there is: while a
    deployment is under way, peers of the version before have to read all that
    does not need what is new.
    """
    del record  # there is one schema so far
    return 1


@value(frozen=True, slots=True)
class Start:
    """A run that the decision's peer is to start now.

    Attributes:
        version: Of the definition.
        waited: Whether the firing stood in the job's waiting list until now:
            it is late by design, because of the job's own runs or a pause.
        trace: Context of the call that created the job; empty: nobody traces.
    """

    definition: Definition
    run: LiveRun
    version: int
    waited: bool = False
    trace: str = ""


@value(frozen=True, slots=True)
class Ended:
    """How a run ended, as its peer saw it; the input of ``settle``.

    Attributes:
        error: Names of the exception's classes, most derived first.
        value: JSON text of the result, or of the error's description.
        retryable: False where a further attempt is pointless.
        entered: Whether the executor had been entered at all.
        at: When the executor ended, by the store's clock as its peer knows
            it; 0: just now.
        finish: Whether the run asks for the end of its job: it is removed
            together with this outcome.
        after: How long another attempt has to wait at least, whatever the rule.
    """

    outcome: Outcome
    reason: Reason = Reason.NONE
    value: bytes = b""
    error: tuple[str, ...] = ()
    retryable: bool = True
    entered: bool = True
    at: int = 0
    finish: bool = False
    after: int = 0


@value(frozen=True, slots=True)
class Row:
    """One row of the ledger: what happened to a run or to a range of slots.

    Attributes:
        at: When it was decided, by the store's clock.
        slot: The slot, or the first of a range.
        until: The last slot of a range; equals ``slot`` for one.
        count: Slots in the range; 0 where the row concerns no slot.
        key: Identity of the firing; empty for a range.
        final: True for the one outcome that a firing ends with.
        fence: Of the run; for a skipped range, of the run that was in the way.
        owner: Incarnation id of the peer that ran it, or that decided.
        value: JSON text of result or error, or of who asked for what
            (:func:`aiosched.rows.pack_act`); empty for none.
        due: When the firing was to start: its slot, moved and jittered; 0: at
            ``slot``.  Of a pause that was over by time, when; 0: it was not.
        value_until: From when on ``value`` is not shown any more; 0: never.
    """

    job_id: str
    kind: RowKind
    at: int
    slot: int = 0
    until: int = 0
    count: int = 0
    key: str = ""
    cause: Cause = Cause.SLOT
    attempt: int = 0
    final: bool = False
    fence: int = 0
    owner: str = ""
    reason: Reason = Reason.NONE
    started: int = 0
    missed: int = 0
    value: bytes = b""
    due: int = 0
    value_until: int = 0


@dataclass(slots=True)
class Change:
    """What a decision wants written.

    Attributes:
        record: The new record; None deletes it.
        at: Its agenda instant; None: there is nothing to look at (``+inf``).
        starts: Runs that begin with this change.
        rows: Ledger rows to append.
        index_only: The record is as it was; only its agenda entry is put right.
        answer: What the verb tells its caller.
        before: The definition that a modification or removal put an end to.
    """

    record: Record | None
    at: int | None = None
    starts: tuple[Start, ...] = ()
    rows: tuple[Row, ...] = ()
    index_only: bool = False
    answer: Any = None
    before: Definition | None = None
