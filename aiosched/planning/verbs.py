"""The verbs of users, as decisions: same shape as attend and settle.

Each takes the present record and the store's instant, and answers a
:class:`Change`, or None where there is nothing to do.  What cannot be done is
raised as a :class:`JobError` before anything is written.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
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
from aiosched.planning._walk import first_due
from aiosched.planning.compare import differing
from aiosched.planning.moments import instant
from aiosched.planning.pauses import end_pause, lapse_pause
from aiosched.records import (
    MAX_WAITING,
    Blob,
    Change,
    Definition,
    Pending,
    Record,
    Row,
    Spec,
    State,
)
from aiosched.rows import NO_ACT, Act, pack_act, row_key
from aiosched.triggers.base import FIRST_INSTANT
from aiosched.triggers.date import DateTrigger

__all__ = [
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
    "take_out",
]

_NOW = DateTrigger(moment(0)).rule()

_MOST_PUT_OFF = 100
"""Slots that are compared where a trigger is replaced while some are put off."""


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
        due = now + (spec.delay or 0)
        return Definition(definition.id, _once(spec), due, definition.arguments)
    if definition.anchor is not None:
        return definition
    pinned = spec.trigger.for_job(definition.id).anchored(moment(now))
    anchor = pinned.own_instant()
    rule = pinned.rule()
    unpinned = None if rule == spec.trigger else spec.trigger
    return replace(
        definition,
        spec=replace(spec, trigger=rule, unpinned=unpinned),
        anchor=anchor,
    )


@lru_cache(maxsize=1_024)
def _once(spec: Spec) -> Spec:
    """Return the spec of a job that runs once; those that are alike share it."""
    return replace(spec, trigger=_NOW)


def first_slot(definition: Definition, now: int) -> int | None:
    """Return the slot with which a trigger begins, seen from ``now``.

    A date in the past is due at once, and a backfill begins with its first slot;
    other triggers begin with the first slot that is due at or after now.  Where
    slots are moved, that may be one whose own instant is past, or not be one
    whose own instant is to come.
    """
    trigger, anchor = definition.spec.trigger, definition.anchor
    if trigger is None:
        return None
    if isinstance(trigger, DateTrigger):
        return anchor
    if trigger.backfills:
        return trigger.next(FIRST_INSTANT)
    if trigger.plain:
        return trigger.next(now - 1, anchor)
    return first_due(definition, now)


def schedule(
    definition: Definition,
    record: Record | None,
    now: int,
    *,
    on_conflict: OnConflict = OnConflict.RAISE,
    paused: bool = False,
    again: bool = False,
    act: Act = NO_ACT,
) -> Change | None:
    """Create a job, or leave, replace or refuse where its id is taken.

    Args:
        definition: The job.
        record: What is stored under its id.
        now: The store's instant.
        on_conflict: What to do about another definition.
        paused: Whether it begins paused.
        again: Whether a finished one is made anew though it is the same.
        act: Who does it, and why.

    Raises:
        JobExistsError: Another definition has the id, and ``on_conflict`` is
            ``raise``.
    """
    if record is None:
        return _create(definition, now, act, paused=paused)
    status = record.state.status
    if status is JobState.REMOVED:
        return _create(definition, now, act, paused=paused, before=record.state)
    changed = differing(record.definition, definition)
    if status is JobState.FINISHED:
        if changed or again:
            return _create(definition, now, act, paused=paused, before=record.state)
        return None
    if not changed or on_conflict is OnConflict.KEEP:
        return None
    if on_conflict is OnConflict.REPLACE:
        older = _older_revision(definition, record.definition)
        return None if older else modify(definition, record, now, act=act)
    raise JobExistsError(definition.id, changed)


def _older_revision(new: Definition, old: Definition) -> bool:
    mine, stored = new.spec.declared, old.spec.declared
    # Whatever another version has stored there must not stop a start.
    return isinstance(mine, int) and isinstance(stored, int) and mine < stored


def _create(
    definition: Definition,
    now: int,
    act: Act,
    *,
    paused: bool,
    before: State | None = None,
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
    state.trace = act.trace
    if paused:
        state.status = JobState.PAUSED
    return Change(
        Record(definition, state),
        instant(definition, state),
        rows=(Row(definition.id, RowKind.CREATED, now, value=pack_act(act)),),
    )


def modify(
    definition: Definition,
    record: Record,
    now: int,
    *,
    if_version: int | None = None,
    act: Act = NO_ACT,
) -> Change | None:
    """Replace a definition; an unchanged trigger keeps its due slot.

    Args:
        definition: The new one.
        record: The job.
        now: The store's instant.
        if_version: Only if the stored definition is that one.
        act: Who does it, and why; its row says also what has changed.

    Raises:
        JobChangedError: The stored version is not ``if_version``.
    """
    old, state = record.definition, record.state
    if if_version is not None and if_version != state.version:
        raise JobChangedError(definition.id, if_version, state.version)
    changed = differing(old, definition)
    if not changed:
        return None
    draft = Draft(old, state, now)
    lapse_pause(draft)
    same = "trigger" not in changed
    used_up, pending = draft.runs_left() == 0, False
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
        definition = pin(definition, now)
        pending = _close_slots(draft, Reason.MODIFIED, definition)
    draft.definition = definition
    after = draft.state
    after.version += 1
    if used_up or not same:
        after.former = state.counts.plus(**draft.sums).slots
        after.since = after.next = after.next if pending else _anew(draft, same=same)
        after.latest = None
    left = draft.runs_left()
    if left is not None and left <= 0:
        after.next = None
    elif same and after.next is None and after.latest is not None:
        after.next = draft.next_slot(after.latest)
    draft.note(RowKind.MODIFIED, act._replace(fields=changed))
    change = draft.change()
    if change is not None:
        change.before = old
    return change


def _anew(draft: Draft, *, same: bool) -> int | None:
    """Return the slot with which a modified job goes on: the first from now on.

    One that was accounted for does not come again, though it be moved to an
    instant that is yet to come.
    """
    state, definition, now = draft.state, draft.definition, draft.now
    first, latest = first_slot(definition, now), state.latest
    if first is None or latest is None or first > latest:
        return first
    trigger = definition.spec.trigger
    recurs = not (
        trigger is None or trigger.backfills or isinstance(trigger, DateTrigger)
    )
    return draft.next_slot(latest) if same or (recurs and latest <= now) else first


def _close_slots(
    draft: Draft, reason: Reason, following: Definition | None = None
) -> bool:
    """Account for the slots up to now of a trigger that is given up.

    Those that have come, but are put off beyond now, are among them; unless the
    definition that follows has the same.

    Returns:
        Whether it has, so that it begins with them.
    """
    paused = draft.state.status is JobState.PAUSED
    kind = RowKind.PAUSED if paused else RowKind.SKIPPED
    due = draft.due(draft.now, whole=False)
    if due is not None:
        draft.pass_over(due.last, kind, reason)
    last = draft.begun()
    if last is None:
        return False
    if following is not None and _has_too(draft, following):
        return True
    draft.pass_over(last, kind, reason)
    return False


def _has_too(draft: Draft, following: Definition) -> bool:
    """Tell whether a definition has the slots that are put off, and no others."""
    first, trigger = draft.state.next, following.spec.trigger
    if first is None or trigger is None or trigger.backfills:
        return False
    before = first - 1
    for _ in range(_MOST_PUT_OFF):
        slot = draft.next_slot(before)
        other = trigger.next(before, following.anchor)
        if slot is None or slot > draft.now:
            return other is None or other > draft.now
        if slot != other:
            return False
        before = slot
    return False


def pause(
    record: Record,
    now: int,
    *,
    note: str = "",
    until: int | None = None,
    act: Act = NO_ACT,
) -> Change | None:
    """Hold a job; its slots are counted as paused when it goes on.

    Args:
        record: The job.
        now: The store's instant.
        note: Why, for those who look at the job.
        until: When it goes on by itself.
        act: Who does it; the row says ``note`` where this has none.
    """
    state = record.state
    if state.status is JobState.PAUSED and (note, until) == (
        state.pause_note,
        state.pause_until,
    ):
        return None
    draft = Draft(record.definition, state, now)
    lapse_pause(draft)
    draft.state.status = JobState.PAUSED
    draft.state.pause_note, draft.state.pause_until = note, until
    draft.note(RowKind.HELD, act._replace(note=act.note or note))
    return draft.change()


def resume(record: Record, now: int, *, act: Act = NO_ACT) -> Change | None:
    """End a pause; nothing that passed meanwhile is made up.

    Of a pause whose time is over already, that is what was due by then.
    """
    if record.state.status is not JobState.PAUSED:
        return None
    draft = Draft(record.definition, record.state, now)
    end_pause(draft, act)
    return draft.change()


def stop(record: Record, now: int, *, act: Act = NO_ACT) -> Change | None:
    """Cancel what runs and waits, and pause the job, until somebody resumes it."""
    draft = Draft(record.definition, record.state, now)
    lapse_pause(draft)
    draft.cancel_runs(Reason.USER)
    draft.drop_waiting(Reason.USER)
    state = draft.state
    paused = state.status is JobState.PAUSED
    if (
        not paused
        or state.pause_until is not None
        or act.note not in ("", state.pause_note)
    ):
        state.status, state.pause_until = JobState.PAUSED, None
        state.pause_note = act.note or (state.pause_note if paused else "")
        draft.touched = True
    if draft.touched:
        draft.note(RowKind.STOPPED, act)
    return draft.change()


def start(
    record: Record, now: int, fire_id: str, *, act: Act = NO_ACT
) -> Change | None:
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
    _ask(draft, Pending(fire_id, Cause.MANUAL, now, now, trace=act.trace))
    draft.note(RowKind.ASKED, act, key=fire_id, cause=Cause.MANUAL)
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
    trace: str = "",
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
    asked = Pending(
        fire_id, Cause.KEYWORD, now, now, expires=expires, payload=payload, trace=trace
    )
    _ask(draft, asked)
    if at_limit and record.definition.spec.overlap is Overlap.CANCEL_PREVIOUS:
        draft.cancel_runs(Reason.REPLACED, oldest_only=True)
    return draft.change()


def remove(record: Record, now: int, *, act: Act = NO_ACT) -> Change:
    """Take a job out; its runs are cancelled, and their outcomes recorded."""
    draft = Draft(record.definition, record.state, now)
    take_out(draft, Reason.NONE, act)
    change = cast("Change", draft.change())
    change.before = record.definition
    return change


def take_out(draft: Draft, reason: Reason, act: Act = NO_ACT) -> None:
    """End a job with everything that it has."""
    lapse_pause(draft)
    _close_slots(draft, Reason.REMOVED)
    draft.drop_waiting(Reason.REMOVED)
    draft.cancel_runs(Reason.REMOVED)
    draft.state.status = JobState.REMOVED
    draft.state.next = None
    draft.note(RowKind.REMOVED, act, reason)


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
