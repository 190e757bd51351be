"""The verbs of users, as decisions: same shape as attend and settle.

Each takes the present record and the store's instant, and answers a
:class:`Change`, or None where there is nothing to do.  What cannot be done is
raised as a :class:`JobError` before anything is written.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from aiosched.enums import Cause, JobState, OnConflict, Overlap, Reason, RowKind
from aiosched.errors import (
    AlreadyRunningError,
    JobChangedError,
    JobExistsError,
    JobNotFoundError,
    TooManyWaitingError,
)
from aiosched.instants import moment
from aiosched.planning._draft import Draft
from aiosched.planning.compare import differing
from aiosched.planning.moments import instant
from aiosched.planning.slots import last_due
from aiosched.records import (
    MAX_WAITING,
    Blob,
    Change,
    Definition,
    Pending,
    Record,
    Row,
    State,
)
from aiosched.rows import row_key
from aiosched.triggers.date import DateTrigger

__all__ = [
    "end_pause",
    "fire",
    "first_slot",
    "living",
    "modify",
    "pause",
    "pin",
    "remove",
    "resume",
    "schedule",
    "start",
    "stop",
]

_NOW = DateTrigger(moment(0)).rule()


def living(record: Record | None, job_id: str) -> Record:
    """Return the record of a job that is still to be reckoned with.

    Raises:
        JobNotFoundError: There is none, or it has finished or been removed.
    """
    if record is None or record.state.status in (JobState.FINISHED, JobState.REMOVED):
        raise JobNotFoundError(job_id)
    return record


def pin(definition: Definition, now: int) -> Definition:
    """Give a trigger without a start the instant from which it counts.

    A job with neither trigger nor keyword runs once, now.
    """
    spec = definition.spec
    if spec.trigger is None:
        if spec.keyword is not None and spec.delay is None:
            return definition
        once = replace(spec, trigger=_NOW)
        return replace(definition, spec=once, anchor=now + (spec.delay or 0))
    if definition.anchor is not None:
        return definition
    pinned = spec.trigger.for_job(definition.id).anchored(moment(now))
    anchor = pinned.own_instant()
    inside = anchor is None and pinned != spec.trigger
    unpinned = spec.trigger if inside else None
    return replace(
        definition,
        spec=replace(spec, trigger=pinned.rule(), unpinned=unpinned),
        anchor=anchor,
    )


def first_slot(definition: Definition, now: int) -> int | None:
    """Return the slot with which a trigger begins, seen from ``now``.

    A date in the past is due at once; other triggers begin at or after now.
    """
    trigger, anchor = definition.spec.trigger, definition.anchor
    if trigger is None:
        return None
    if isinstance(trigger, DateTrigger):
        return anchor
    return trigger.next(now - 1, anchor)


def schedule(
    definition: Definition,
    record: Record | None,
    now: int,
    *,
    on_conflict: OnConflict = OnConflict.RAISE,
    paused: bool = False,
    again: bool = False,
) -> Change | None:
    """Create a job, or leave, replace or refuse where its id is taken.

    Raises:
        JobExistsError: Another definition has the id, and ``on_conflict`` is
            ``raise``.
    """
    if record is None:
        return _create(definition, now, paused=paused)
    status = record.state.status
    if status is JobState.REMOVED:
        return _create(definition, now, paused=paused, before=record.state)
    changed = differing(record.definition, definition)
    if status is JobState.FINISHED:
        if changed or again:
            return _create(definition, now, paused=paused, before=record.state)
        return None
    if not changed or on_conflict is OnConflict.KEEP:
        return None
    if on_conflict is OnConflict.REPLACE:
        older = _older_revision(definition, record.definition)
        return None if older else modify(definition, record, now)
    raise JobExistsError(definition.id, changed)


def _older_revision(new: Definition, old: Definition) -> bool:
    mine, stored = new.spec.declared, old.spec.declared
    # Whatever another version has stored there must not stop a start.
    return isinstance(mine, int) and isinstance(stored, int) and mine < stored


def _create(
    definition: Definition, now: int, *, paused: bool, before: State | None = None
) -> Change:
    definition = pin(definition, now)
    seq = now if before is None else max(before.seq + 1, now)
    state = State(seq, now)
    if before is not None and before.runs:
        # Runs of the job that had the id before end under the new record,
        # which must count them for its sums to come out.
        fired = sum(1 for r in before.runs if r.firing.cause is Cause.SLOT)
        state.runs = before.runs
        asked = len(before.runs) - fired
        state.counts = state.counts.plus(fired=fired, asked=asked)
        state.former = fired
    state.next = state.since = first_slot(definition, now)
    if paused:
        state.status = JobState.PAUSED
    return Change(
        Record(definition, state),
        instant(definition, state),
        rows=(Row(definition.id, RowKind.CREATED, now),),
    )


def modify(
    definition: Definition,
    record: Record,
    now: int,
    *,
    if_version: int | None = None,
) -> Change | None:
    """Replace a definition; an unchanged trigger keeps its due slot.

    Raises:
        JobChangedError: The stored version is not ``if_version``.
    """
    old, state = record.definition, record.state
    if if_version is not None and if_version != state.version:
        raise JobChangedError(definition.id, if_version, state.version)
    if not differing(old, definition):
        return None
    draft = Draft(old, state, now)
    same = not {"trigger"} & set(differing(old, definition))
    if same:
        anchor = old.anchor
        spec = replace(
            definition.spec,
            trigger=old.spec.trigger,
            unpinned=old.spec.unpinned,
            delay=old.spec.delay,
        )
        definition = replace(definition, spec=spec, anchor=anchor)
    else:
        due = last_due(draft, now)
        if due is not None:
            draft.pass_over(due, RowKind.SKIPPED, Reason.MODIFIED)
        definition = pin(definition, now)
    draft.definition = definition
    after = draft.state
    after.version += 1
    if not same:
        after.former = state.counts.plus(**draft.sums).slots
        after.since = after.next = first_slot(definition, now)
        after.latest = None
    left = draft.runs_left()
    if left is not None and left <= 0:
        after.next = None
    elif same and after.next is None and after.latest is not None:
        after.next = draft.next_slot(after.latest)
    draft.note(RowKind.MODIFIED)
    return draft.change()


def pause(
    record: Record, now: int, *, note: str = "", until: int | None = None
) -> Change | None:
    """Hold a job; its slots are counted as paused when it goes on."""
    state = record.state
    if state.status is JobState.PAUSED and (note, until) == (
        state.pause_note,
        state.pause_until,
    ):
        return None
    draft = Draft(record.definition, state, now)
    draft.state.status = JobState.PAUSED
    draft.state.pause_note, draft.state.pause_until = note, until
    draft.touched = True
    return draft.change()


def resume(record: Record, now: int) -> Change | None:
    """End a pause; nothing that passed meanwhile is made up."""
    if record.state.status is not JobState.PAUSED:
        return None
    draft = Draft(record.definition, record.state, now)
    end_pause(draft)
    return draft.change()


def end_pause(draft: Draft) -> None:
    """Count the slots of a pause and let the job go on.

    The last slot of a trigger is not lost to a pause: a one-time job that was
    held over its instant runs when it is let go.
    """
    state = draft.state
    state.status = JobState.ACTIVE
    state.pause_note, state.pause_until = "", None
    draft.touched = True
    left = draft.runs_left()
    if state.next is None and state.latest is not None and left != 0:
        state.next = draft.next_slot(state.latest)  # its trigger works again
    due = last_due(draft, draft.now)
    if due is None:
        return
    if draft.next_slot(due) is None:
        due -= 1
    draft.pass_over(due, RowKind.PAUSED)


def stop(record: Record, now: int) -> Change | None:
    """Cancel what runs and waits, and pause the job."""
    draft = Draft(record.definition, record.state, now)
    draft.cancel_runs(Reason.USER)
    draft.drop_waiting(Reason.USER)
    if draft.state.status is not JobState.PAUSED:
        draft.state.status = JobState.PAUSED
        draft.touched = True
    return draft.change()


def start(record: Record, now: int, fire_id: str) -> Change | None:
    """Run a job once, now, without moving its slots.

    Raises:
        AlreadyRunningError: It is at its limit, and its overlap is ``skip``.
        TooManyWaitingError: Its list of waiting firings is full.
    """
    spec = record.definition.spec
    draft = Draft(record.definition, record.state, now)
    state = draft.state
    if _known(state, fire_id):
        return None
    at_limit = _places(draft) <= 0
    if at_limit and spec.overlap is Overlap.SKIP:
        raise AlreadyRunningError(record.definition.id)
    _ask(draft, Pending(fire_id, Cause.MANUAL, now, now))
    if at_limit and spec.overlap is Overlap.CANCEL_PREVIOUS:
        draft.cancel_runs(Reason.REPLACED, oldest_only=True)
    if state.status is JobState.FINISHED:
        state.status, state.ends = JobState.ACTIVE, None
    return draft.change()


def fire(
    record: Record,
    now: int,
    fire_id: str,
    payload: Blob = b"",
    *,
    expires: int | None = None,
) -> Change | None:
    """Add a firing that a keyword has asked for.

    Returns:
        None where the same fire id was asked for before: it is the same fire.

    Raises:
        TooManyWaitingError: The job's list of waiting firings is full.
    """
    draft = Draft(record.definition, record.state, now)
    if _known(draft.state, fire_id):
        return None
    at_limit = _places(draft) <= 0
    _ask(
        draft,
        Pending(fire_id, Cause.KEYWORD, now, now, expires=expires, payload=payload),
    )
    if at_limit and record.definition.spec.overlap is Overlap.CANCEL_PREVIOUS:
        draft.cancel_runs(Reason.REPLACED, oldest_only=True)
    return draft.change()


def remove(record: Record, now: int) -> Change:
    """Take a job out; its runs are cancelled, and their outcomes recorded."""
    draft = Draft(record.definition, record.state, now)
    due = last_due(draft, now)
    if due is not None:
        draft.pass_over(due, RowKind.SKIPPED, Reason.REMOVED)
    draft.drop_waiting(Reason.REMOVED)
    draft.cancel_runs(Reason.REMOVED)
    draft.state.status = JobState.REMOVED
    draft.state.next = None
    draft.note(RowKind.REMOVED)
    return cast("Change", draft.change())


def _places(draft: Draft) -> int:
    """Return how many more firings could start at once."""
    untried = sum(1 for firing in draft.state.waiting if not firing.open)
    return draft.room() - untried


def _known(state: State, fire_id: str) -> bool:
    if any(run.firing.key == fire_id for run in state.runs):
        return True
    if any(firing.key == fire_id for firing in state.waiting):
        return True
    return any(row_key(line) == fire_id for line in state.recent)


def _ask(draft: Draft, firing: Pending) -> None:
    if len(draft.state.waiting) >= MAX_WAITING:
        raise TooManyWaitingError(draft.definition.id, MAX_WAITING)
    draft.add("asked", 1)
    draft.wait(firing)
