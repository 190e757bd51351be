"""How the fate of a slot is put into words; :mod:`aiosched.planning.reasons`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiosched.enums import Cause, Outcome, Reason, RowKind
from aiosched.instants import DAY, SECOND, moment
from aiosched.records import LiveRun, Pending, Record, Row
from aiosched.rows import ELSEWHERE, unpack_act
from aiosched.triggers.base import Trigger
from aiosched.triggers.inputs import stamp

__all__ = [
    "OUTCOMES",
    "PASSED",
    "Case",
    "Evidence",
    "act_words",
    "ended_words",
    "fate_words",
    "length",
    "peer",
    "when",
]

PASSED = frozenset((RowKind.SKIPPED, RowKind.MISSED, RowKind.EXCLUDED, RowKind.PAUSED))
OUTCOMES = frozenset(RowKind(outcome.value) for outcome in Outcome)
_LONGEST = 160
"""Characters of an error's text or a person's note that a sentence quotes."""

_CANCELLED = {
    Reason.USER: "it was stopped",
    Reason.REMOVED: "the job was removed",
    Reason.REPLACED: "a newer firing took its place",
    Reason.SHUTDOWN: "its peer was shut down",
    Reason.LEASE_LOST: "its peer had lost it",
    Reason.TIMEOUT: "its time was over",
    Reason.ITSELF: "its executor cancelled itself",
    Reason.UNRESOLVABLE: "its executor or arguments could not be built",
}
_VERBS = {
    RowKind.SUCCEEDED: "succeeded",
    RowKind.FAILED: "failed",
    RowKind.TIMED_OUT: "timed out",
    RowKind.CANCELLED: "was cancelled",
    RowKind.LOST: "was lost with its peer",
    RowKind.HANDED_BACK: "was handed back when its peer was shut down",
    RowKind.EXPIRED: "expired",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known when the question is asked.

    Attributes:
        record: What is stored of the job; None: nothing (any more).
        rows: Rows of its ledger, in any order; doubles do no harm.
        now: The store's instant.
        keeps: How long the ledger keeps a row.
        names: Incarnation id -> name of the peers that live.
        births: Incarnation id -> when it began.
    """

    job_id: str
    record: Record | None
    rows: Sequence[Row]
    now: int
    keeps: int = 7 * DAY
    names: Mapping[str, str] = field(default_factory=dict)
    births: Mapping[str, int] = field(default_factory=dict)

    @property
    def trigger(self) -> Trigger | None:
        """The trigger that is stored, with its own instant."""
        if self.record is None:
            return None
        definition = self.record.definition
        rule = definition.spec.trigger
        return None if rule is None else rule.with_instant(definition.anchor)

    def of_era(self, instant: int) -> bool:
        """Tell whether the stored trigger speaks for an instant."""
        since = None if self.record is None else self.record.state.since
        return since is not None and instant >= since

    @property
    def era_begun(self) -> int | None:
        """When the job was given its present trigger; None: it is not stored."""
        if self.record is None:
            return None
        changed = self.retimed(self.now)
        return max(self.record.state.created, 0 if changed is None else changed.at)

    def retimed(self, until: int) -> Row | None:
        """Return the newest row, up to an instant, that changed the trigger."""
        fitting = [
            row
            for row in self.rows
            if row.kind is RowKind.MODIFIED
            and row.at <= until
            and "trigger" in self.fields_of(row)
        ]
        return max(fitting, key=lambda row: row.at, default=None)

    @staticmethod
    def fields_of(row: Row) -> tuple[str, ...]:
        """Return what a modification changed."""
        return unpack_act(row.value).fields

    def latest(self, until: int, *kinds: RowKind) -> Row | None:
        """Return the newest row of these kinds decided up to an instant."""
        fitting = [r for r in self.rows if r.kind in kinds and r.at <= until]
        return max(fitting, key=lambda row: row.at, default=None)


@dataclass(slots=True)
class Case:
    """Everything about one firing.

    Attributes:
        attempts: Rows of its attempts, oldest first; the last may be final.
        live: Its run, if it has one.
        waiting: Its place in the list of waiting firings, if it has one.
    """

    key: str
    cause: Cause
    slot: int
    attempts: list[Row] = field(default_factory=list)
    live: LiveRun | None = None
    waiting: Pending | None = None

    @property
    def final(self) -> Row | None:
        """The row of its one outcome, if it has one."""
        return next((row for row in self.attempts if row.final), None)

    @property
    def spans(self) -> list[tuple[int, int | None, str]]:
        """Beginning, end (None: not yet) and peer of each attempt."""
        spans: list[tuple[int, int | None, str]] = [
            (row.started, row.at, row.owner) for row in self.attempts if row.started
        ]
        if self.live is not None:
            spans.append((self.live.started, None, self.live.owner))
        return spans


def when(instant: int) -> str:
    """Write an instant for people."""
    return stamp(moment(instant))


def length(micros: int) -> str:
    """Write a duration for people, to a readable number of digits."""
    if micros < 60 * SECOND:
        return f"{micros / SECOND:.3g} s"
    minutes, seconds = divmod(round(micros / SECOND), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def peer(evidence: Evidence, owner: str) -> str:
    """Name a peer, by its name if it lives."""
    return f"peer {evidence.names.get(owner, owner)}" if owner else "some peer"


def act_words(row: Row | None) -> str:
    """Say when something was done to a job, by whom, and why."""
    if row is None:
        return ""
    act = unpack_act(row.value)
    words = f" at {when(row.at)}"
    if act.by:
        words += f" by {_cut(act.by)}"
    return f"{words} ({_cut(act.note)})" if act.note else words


def ended_words(evidence: Evidence, row: Row) -> str:
    """Say how an attempt ended, after how long and why."""
    words = _VERBS[row.kind]
    if row.started:
        words += f" after {length(row.at - row.started)}"
    if row.kind is RowKind.CANCELLED:
        return words + fate_words(evidence, row)
    if row.kind is RowKind.FAILED:
        faded = 0 < row.value_until <= evidence.now
        error = "" if faded else _error(row.value)
        return f"{words} ({error})" if error else words
    return words


def fate_words(evidence: Evidence, row: Row) -> str:
    """Say why a firing was cancelled, and by whom if that is known."""
    why = _CANCELLED.get(row.reason)
    if why is None:
        return ""
    act = None
    if row.reason is Reason.USER:
        act = evidence.latest(row.at, RowKind.STOPPED)
    elif row.reason is Reason.REMOVED:
        act = evidence.latest(row.at, RowKind.REMOVED)
    if act is not None and act.at < (row.started or row.slot):
        act = None  # of another run
    return f", because {why}{act_words(act)}"


def _error(value: bytes) -> str:
    if not value or value == ELSEWHERE:
        return ""
    try:
        said = json.loads(value)
        return _cut(f"{said['type']}: {said['message']}")
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
