"""When a record must be looked at: the score of its agenda entry.

``instant`` is a function of the record alone, so that whoever reads a record
can tell whether its index is right.  It is sound (nothing can be done with a
record before it) and looking at it makes progress (what is due is acted on, or
leaves the agenda): the two properties on which an idle cluster's silence and a
busy one's promptness rest.
"""

from __future__ import annotations

import zlib

from aiosched.enums import Cause, JobState, Overlap
from aiosched.errors import TriggerError
from aiosched.records import MAX_WAITING, Definition, Pending, State
from aiosched.triggers.base import LAST_INSTANT, Stretch, Trigger

__all__ = [
    "MOST_STRETCHES",
    "attempt_due",
    "due_at",
    "fraction",
    "instant",
    "later",
    "not_excluded",
    "stretch_from",
]

MOST_STRETCHES = 2_000
"""Stretches that one look walks; weekends are as many in nineteen years."""


def fraction(job_id: str, key: str, salt: str = "") -> float:
    """Draw a number in [0, 1) that every peer draws alike.

    Nothing random may enter a decision, since it may be taken again.
    """
    return zlib.crc32(f"{job_id}\n{key}\n{salt}".encode()) / 2**32


def due_at(definition: Definition, slot: int) -> int | None:
    """Return when a slot is acted on: moved by its trigger, then jittered.

    Jitter goes neither beyond the end of the trigger nor up to the next slot, so
    that slots are due in their order, one after the other.

    Returns:
        None if the slot is excluded.

    Raises:
        Exception: Whatever a trigger of the user's own raises.
    """
    spec = definition.spec
    trigger, jitter = spec.trigger, spec.jitter
    if trigger is None:
        return slot
    due: int | None = slot
    if not trigger.plain:
        due = trigger.due(slot, definition.anchor)
    if not jitter or due is None:
        return due
    share = fraction(definition.id, str(slot))
    return due + int(share * _most_jitter(trigger, slot, due, jitter, definition))


def _most_jitter(
    trigger: Trigger, slot: int, due: int, jitter: int, definition: Definition
) -> int:
    """Return how long the slot may be put off."""
    anchor, end = definition.anchor, trigger.closes()
    following = not_excluded(trigger, trigger.next(slot, anchor), anchor)
    if following is not None:
        if not trigger.plain:
            following = trigger.due(following, anchor)
        end = following if end is None else min(end, following or end)
    return jitter if end is None else max(0, min(jitter, end - due))


def not_excluded(trigger: Trigger, slot: int | None, anchor: int | None) -> int | None:
    """Return the first slot from ``slot`` on that is not excluded."""
    for _ in range(MOST_STRETCHES):
        if slot is None or trigger.plain or trigger.due(slot, anchor) is not None:
            break
        end = stretch_from(trigger, slot, LAST_INSTANT, anchor).last
        slot = trigger.next(end, anchor)
    return slot


def stretch_from(
    trigger: Trigger, first: int, until: int, anchor: int | None
) -> Stretch:
    """Return the stretch that begins with a slot, as the trigger says.

    Raises:
        TriggerError: A trigger of the user's own leaves out that slot.
    """
    stretch = trigger.stretch(first, until, anchor)
    if stretch.last < first or stretch.number < 1:
        raise TriggerError(
            "stretch",
            stretch,
            f"{type(trigger).__name__} answers a stretch without its first slot",
            "return at least the slot that was asked for",
        )
    return stretch


def attempt_due(definition: Definition, firing: Pending) -> int:
    """Return when an attempt was to start, from which its lateness counts.

    A retry is due at the end of its back-off.  One that was lost or handed back
    waits from then on, but is late since its slot.  A slot that is backfilled is
    past by design: it is due when its turn comes.

    Raises:
        Exception: Whatever a trigger of the user's own raises.
    """
    if firing.attempt - firing.lost > 1:
        return firing.at
    if firing.cause is not Cause.SLOT:
        return firing.slot
    trigger = definition.spec.trigger
    due: int | None = firing.slot
    if trigger is not None:
        if trigger.backfills:
            return firing.at
        if definition.spec.jitter or not trigger.plain:
            due = due_at(definition, firing.slot)
    return min(firing.slot if due is None else due, firing.at)


def instant(definition: Definition, state: State) -> int | None:
    """Return when somebody must look at the record; None: never by itself."""
    if state.status is JobState.FINISHED:
        return state.ends
    return min(_candidates(definition, state), default=None)


def later(definition: Definition, state: State, now: int) -> int | None:
    """Return when there is something to look at beside what is due already.

    For peers that cannot act on what is due; None: nothing more.
    """
    moments = [at for at in _candidates(definition, state) if at > now]
    return min(moments, default=None)


def _candidates(definition: Definition, state: State) -> list[int]:
    spec, status, following = definition.spec, state.status, state.next
    room = spec.max_running - len(state.runs)
    found = [run.until for run in state.runs]
    if status is JobState.REMOVED:
        return found
    paused = status is JobState.PAUSED
    if state.waiting:
        room -= _add_waiting(state, room, found, paused=paused)
    if paused:
        if state.pause_until is not None:
            found.append(state.pause_until)
    elif following is not None and (room > 0 or _woken_at_limit(definition, state)):
        if spec.jitter or (spec.trigger is not None and not spec.trigger.plain):
            following = _look_at(definition, following)
        found.append(following)
    return found


def _add_waiting(state: State, room: int, found: list[int], *, paused: bool) -> int:
    """Add when there is something to do about what waits.

    Returns:
        How much of the room is taken by firings that were tried before.
    """
    taken = 0
    for firing in state.waiting:
        if firing.open:
            taken += 1
        elif firing.expires is not None:
            found.append(firing.expires)
    for firing in state.waiting:
        if paused and firing.cause is not Cause.MANUAL:
            continue
        if firing.open or room > taken:
            found.append(firing.at)
    return taken


def _look_at(definition: Definition, slot: int) -> int:
    """Return when the next slot is looked at.

    An excluded one is looked at together with those behind it, at the last.
    """
    try:
        due = due_at(definition, slot)
        trigger = definition.spec.trigger
        if due is None and trigger is not None:
            due = trigger.stretch(slot, LAST_INSTANT, definition.anchor).last
    except Exception:
        # A trigger of the user's own: the look at the slot finds out and says so.
        return slot
    return slot if due is None else due


def _woken_at_limit(definition: Definition, state: State) -> bool:
    overlap = definition.spec.overlap
    if overlap is Overlap.QUEUE:
        return len(state.waiting) < MAX_WAITING
    return overlap is Overlap.CANCEL_PREVIOUS
