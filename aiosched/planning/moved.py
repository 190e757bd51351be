"""A job that comes from another store, with what it had come to there.

Same shape as the verbs: pure, and asked again where a race was lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from aiosched.enums import Cause, JobState, OnConflict
from aiosched.errors import TriggerError
from aiosched.planning.moments import instant
from aiosched.planning.verbs import first_slot, schedule
from aiosched.records import NO_COUNTS, Change, Counts, Definition, Record
from aiosched.rows import NO_ACT, Act
from aiosched.triggers.base import Trigger

__all__ = ["Carried", "admit", "settled_counts"]


@dataclass(frozen=True, slots=True)
class Carried:
    """What a job brings along beside its definition.

    Attributes:
        next: Its next slot; None: none, because only its keyword runs it.
        counts: Sums over its firings that have ended.
        pause_note: Why it is paused.
        pause_until: When its pause ends by itself; None: when it is resumed.
        declared: Revision of the code that declared it.
        unpinned: The trigger as it was given, where pinning made another of it.
        delay: Time after which it was to run once, as it was given.
    """

    next: int | None = None
    counts: Counts = NO_COUNTS
    pause_note: str = ""
    pause_until: int | None = None
    declared: int | None = None
    unpinned: Trigger | None = None
    delay: int | None = None


def settled_counts(record: Record) -> Counts:
    """Return a job's sums without the firings that have not ended yet.

    Those stay where they are, and so does what will be said of them.
    """
    state = record.state
    left = (*(run.firing for run in state.runs), *state.waiting)
    fired = sum(1 for firing in left if firing.cause is Cause.SLOT)
    return state.counts.plus(fired=-fired, asked=fired - len(left))


def admit(
    definition: Definition,
    record: Record | None,
    now: int,
    carried: Carried,
    *,
    keep_state: bool,
    on_conflict: OnConflict = OnConflict.RAISE,
    paused: bool = False,
    act: Act = NO_ACT,
) -> Change | None:
    """Schedule a definition that was exported elsewhere.

    What it brings along is for a job that is made anew; one that is there already
    has a state of its own, and keeps it.

    Args:
        definition: The job.
        record: What is stored under its id.
        now: The store's instant.
        carried: What it had come to.
        keep_state: Whether it goes on with its next slot and its sums, or begins.
        on_conflict: What to do about another definition.
        paused: Whether it was paused.
        act: Who does it, and why.

    Raises:
        JobExistsError: Another definition has the id, and ``on_conflict`` is
            ``raise``.
        TriggerError: The next slot is none of its trigger, or nothing is to come.
    """
    change = schedule(
        definition, record, now, on_conflict=on_conflict, paused=paused, act=act
    )
    if change is None or change.record is None or not _made(record):
        return change
    made = change.record
    spec = replace(made.definition.spec, unpinned=carried.unpinned, delay=carried.delay)
    found, state = replace(made.definition, spec=spec), made.state
    if keep_state:
        _refuse_no_slot(found, carried.next)
        state.next = state.since = carried.next
        # What ended elsewhere is no slot of the era that begins here.
        state.former += carried.counts.slots
        state.counts = _sum(state.counts, carried.counts)
    elif first_slot(found, now) is None and spec.keyword is None:
        raise TriggerError(
            "trigger",
            spec.trigger,
            "has no fire time from now on",
            "leave the job out, or keep its state",
        )
    if state.status is JobState.PAUSED:
        state.pause_note, state.pause_until = carried.pause_note, carried.pause_until
    return Change(Record(found, state), instant(found, state), rows=change.rows)


def _made(record: Record | None) -> bool:
    return record is None or record.state.status in (
        JobState.FINISHED,
        JobState.REMOVED,
    )


def _refuse_no_slot(definition: Definition, slot: int | None) -> None:
    trigger = definition.spec.trigger
    if slot is None and (trigger is None or definition.spec.keyword is not None):
        return
    if (
        slot is not None
        and trigger is not None
        and trigger.next(slot - 1, definition.anchor) == slot
    ):
        return
    raise TriggerError(
        "next_slot",
        slot,
        f"is no fire time of job {definition.id!r}",
        "export it again, or import without its state",
    )


def _sum(one: Counts, other: Counts) -> Counts:
    return one.plus(**{name: getattr(other, name) for name in Counts.__slots__})
