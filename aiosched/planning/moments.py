"""When a record must be looked at: the score of its agenda entry.

``instant`` is a function of the record alone, so that whoever reads a record
can tell whether its index is right.  It is sound (nothing can be done with a
record before it) and looking at it makes progress (what is due is acted on, or
leaves the agenda): the two properties on which an idle cluster's silence and a
busy one's promptness rest.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from aiosched.enums import Cause, JobState, Overlap
from aiosched.records import MAX_WAITING, Definition, State

__all__ = ["due_at", "fraction", "instant", "later"]


def fraction(job_id: str, key: str, salt: str = "") -> float:
    """Draw a number in [0, 1) that every peer draws alike.

    Nothing random may enter a decision, since it may be taken again.
    """
    return zlib.crc32(f"{job_id}\n{key}\n{salt}".encode()) / 2**32


def due_at(definition: Definition, slot: int) -> int:
    """Return when a slot is acted on: its instant plus its jitter."""
    jitter = definition.spec.jitter
    if not jitter:
        return slot
    return slot + int(fraction(definition.id, str(slot)) * jitter)


def instant(definition: Definition, state: State) -> int | None:
    """Return when somebody must look at the record; None: never by itself."""
    if state.status is JobState.FINISHED:
        return state.ends
    return min(_candidates(definition, state), default=None)


def later(definition: Definition, state: State, now: int) -> int | None:
    """Return when there is something to look at beside what is due already.

    For peers that cannot act on what is due; None: nothing more.
    """
    moments = (at for at in _candidates(definition, state) if at > now)
    return min(moments, default=None)


def _candidates(definition: Definition, state: State) -> Iterator[int]:
    room = definition.spec.max_running - len(state.runs)
    for run in state.runs:
        yield run.until
    if state.status is JobState.REMOVED:
        return
    for firing in state.waiting:
        if firing.open:
            room -= 1
        elif firing.expires is not None:
            yield firing.expires
    paused = state.status is JobState.PAUSED
    if paused and state.pause_until is not None:
        yield state.pause_until
    for firing in state.waiting:
        if paused and firing.cause is not Cause.MANUAL:
            continue
        if firing.open or room > 0:
            yield firing.at
    if paused or state.next is None:
        return
    if room > 0 or _woken_at_limit(definition, state):
        yield due_at(definition, state.next)


def _woken_at_limit(definition: Definition, state: State) -> bool:
    overlap = definition.spec.overlap
    if overlap is Overlap.QUEUE:
        return len(state.waiting) < MAX_WAITING
    return overlap is Overlap.CANCEL_PREVIOUS
