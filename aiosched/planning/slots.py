"""What becomes of slots that have come due: misfire, coalescing, overlap.

Catch-up is arithmetic: ranges of slots are counted by the trigger, never
listed, so that ten years of absence cost as much as ten seconds.
"""

from __future__ import annotations

from dataclasses import replace

from aiosched.enums import Cause, Coalesce, Outcome, Overlap, Reason, RowKind
from aiosched.instants import SECOND
from aiosched.planning._draft import Draft
from aiosched.planning.moments import due_at
from aiosched.records import MAX_WAITING, Pending

__all__ = ["LEAST_GRACE", "attend_slots", "last_due", "pass_overlapped"]

LEAST_GRACE = 60 * SECOND
"""By default a slot stays valid until the next is due, and at least so long."""


def last_due(draft: Draft, until: int) -> int | None:
    """Return the last slot, from ``next`` on, that is due at ``until``.

    With jitter the slots are taken in order: one whose own delay is not over
    holds back those behind it.
    """
    definition, first = draft.definition, draft.state.next
    if first is None or due_at(definition, first) > until:
        return None
    jitter = definition.spec.jitter
    if not jitter:
        return draft.reach(until)
    last = draft.reach(until - jitter) or first
    while True:
        following = draft.next_slot(last)
        if following is None or due_at(definition, following) > until:
            return last
        last = following


def attend_slots(draft: Draft, capacity: int, lease: int) -> None:
    """Fire, skip or miss every due slot, as far as capacity allows."""
    lapsed = _lapsed_before(draft)
    if lapsed is not None and _miss(draft, lapsed):
        return
    last = last_due(draft, draft.now)
    if last is None:
        return
    overlap = draft.definition.spec.overlap
    room = draft.room()
    if room <= 0:
        if overlap is Overlap.SKIP:
            _skip(draft, last)
        elif overlap is Overlap.QUEUE:
            _enqueue(draft, last)
        elif overlap is Overlap.CANCEL_PREVIOUS:
            _replace(draft, last)
        return
    if capacity <= len(draft.starts) or _someone_waits(draft):
        return
    places = min(room, capacity - len(draft.starts))
    for firing in _select(draft, last, places):
        draft.start(firing, lease)
    last = last_due(draft, draft.now)
    if last is not None and draft.room() <= 0:
        if overlap is Overlap.SKIP:
            _skip(draft, last)
        elif overlap is Overlap.QUEUE:
            _enqueue(draft, last)


def pass_overlapped(draft: Draft, until: int, fence: int) -> None:
    """Count the slots that came while a run was in the way (``skip`` only)."""
    if _former(draft):
        return
    last = last_due(draft, until)
    if last is not None:
        draft.pass_over(last, RowKind.SKIPPED, Reason.OVERLAP, fence)


def _someone_waits(draft: Draft) -> bool:
    # Slots must not overtake firings that were queued before them.
    return draft.definition.spec.overlap is Overlap.QUEUE and any(
        not firing.open and firing.cause is Cause.SLOT and firing.at <= draft.now
        for firing in draft.state.waiting
    )


def _lapsed_before(draft: Draft) -> int | None:
    """Return the instant up to which due slots have lapsed; None: none has."""
    spec, now = draft.definition.spec, draft.now
    last = last_due(draft, now)
    if last is None:
        return None
    grace = spec.misfire_grace
    if grace is not None:
        return now - grace - 1
    if spec.coalesce is Coalesce.LATEST:
        return None
    cutoff = now - LEAST_GRACE - 1
    if _more_due(draft, last):
        return cutoff
    # The newest is valid until the next is due, however late it is.
    return min(cutoff, due_at(draft.definition, last) - 1)


def _miss(draft: Draft, cutoff: int) -> bool:
    """Pass over what has lapsed; return whether another look has to go on."""
    definition = draft.definition
    jitter = definition.spec.jitter
    draft.pass_over(cutoff - jitter, RowKind.MISSED, Reason.GRACE)
    slot = draft.state.next
    if jitter:
        # Lateness counts from the instant at which a slot is due, so those
        # whose own delay reaches past the cutoff are told one by one.
        end: int | None = None
        while slot is not None and due_at(definition, slot) <= cutoff:
            end, slot = slot, draft.next_slot(slot)
        if end is not None:
            draft.pass_over(end, RowKind.MISSED, Reason.GRACE)
    return slot is not None and due_at(definition, slot) <= cutoff


def _more_due(draft: Draft, last: int) -> bool:
    """Tell whether there are more due slots than one look gets to."""
    following = draft.next_slot(last)
    return following is not None and due_at(draft.definition, following) <= draft.now


def _former(draft: Draft) -> bool:
    # A run of the removed job that had the id before delays slots, no more.
    return any(run.cancel is Reason.REMOVED for run in draft.state.runs)


def _skip(draft: Draft, last: int) -> None:
    runs = draft.state.runs
    if _former(draft):
        return
    fence = runs[0].fence if runs else 0
    draft.pass_over(last, RowKind.SKIPPED, Reason.OVERLAP, fence)


def _select(draft: Draft, last: int, places: int) -> list[Pending]:
    """Take the firings that the coalescing rule chooses among the due slots."""
    first, spec = draft.state.next, draft.definition.spec
    if first is None or places <= 0:
        return []
    if spec.coalesce is Coalesce.ALL:
        return _each(draft, last, places)
    count = draft.count(last)
    if not count:
        return []
    if spec.coalesce is Coalesce.LATEST:
        if _more_due(draft, last):
            # The newest is yet to come.
            draft.pass_over(last, RowKind.SKIPPED, Reason.COALESCED)
            return []
        draft.pass_over(last - 1, RowKind.SKIPPED, Reason.COALESCED)
        firing = draft.take_slot(last, missed=count - 1)
        draft.passed(last)
        return [firing]
    firing = draft.take_slot(first, missed=count - 1)
    draft.passed(first)
    draft.pass_over(last, RowKind.SKIPPED, Reason.COALESCED)
    return [firing]


def _each(draft: Draft, last: int, places: int) -> list[Pending]:
    firings: list[Pending] = []
    while len(firings) < min(places, MAX_WAITING):
        slot = draft.state.next
        if slot is None or slot > last:
            break
        firings.append(draft.take_slot(slot))
        draft.passed(slot)
    return firings


def _enqueue(draft: Draft, last: int) -> None:
    places = MAX_WAITING - len(draft.state.waiting)
    for firing in _select(draft, last, places):
        draft.wait(firing)


def _replace(draft: Draft, last: int) -> None:
    """Make the newest slot follow the oldest run, which is told to stop."""
    selected = _select(draft, last, 1)
    if not selected:
        return
    (firing,) = selected
    kept: list[Pending] = []
    for other in draft.state.waiting:
        if other.cause is Cause.SLOT and not other.open:
            draft.end(other, Outcome.CANCELLED, reason=Reason.REPLACED)
        elif other.cause is Cause.SLOT and not draft.state.runs:
            # In back-off: nothing runs that could be told to stop.
            draft.end(other, Outcome.CANCELLED, reason=Reason.REPLACED)
        else:
            kept.append(other)
    draft.state.waiting = tuple(kept)
    draft.wait(replace(firing))
    draft.cancel_runs(Reason.REPLACED, oldest_only=True)
