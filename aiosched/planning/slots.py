"""What becomes of slots that have come due: misfire, coalescing, overlap.

Catch-up is arithmetic: ranges of slots are counted by the trigger, never
listed, so that ten years of absence cost as much as ten seconds.
"""

from __future__ import annotations

from dataclasses import replace

from aiosched.enums import Cause, Coalesce, Outcome, Overlap, Reason, RowKind
from aiosched.instants import SECOND
from aiosched.planning._draft import Draft
from aiosched.planning._walk import Due
from aiosched.records import MAX_WAITING, Pending

__all__ = ["LEAST_GRACE", "attend_slots", "pass_behind_waiting", "pass_overlapped"]

LEAST_GRACE = 60 * SECOND
"""By default a slot stays valid until the next is due, and at least so long."""

_BEHIND_A_START = (Overlap.SKIP, Overlap.QUEUE)
"""Rules that decide at once about slots for which the last start left no room."""


def attend_slots(draft: Draft, capacity: int, lease: int) -> None:
    """Fire, skip or miss every due slot, as far as capacity allows."""
    if capacity > 0 and _take_lone(draft, lease):
        return
    due = _still_valid(draft)
    if due is None:
        return
    if due.newest is None:
        draft.pass_over(due.last, RowKind.SKIPPED)  # all of them are excluded
        return
    if draft.room() <= 0:
        _at_limit(draft, due)
        return
    if capacity <= len(draft.starts) or _someone_waits(draft):
        return
    places = min(draft.room(), capacity - len(draft.starts))
    if _all_at_once(draft):
        firings = _select(draft, due, MAX_WAITING)
    else:
        firings = _select(draft, due, places)
    for firing in firings[:places]:
        draft.start(firing, lease)
    for firing in firings[places:]:
        draft.wait(firing)
    due = draft.due(draft.now)
    if due is None:
        return
    if due.newest is None:
        draft.pass_over(due.last, RowKind.SKIPPED)
    elif draft.room() <= 0 and draft.definition.spec.overlap in _BEHIND_A_START:
        _at_limit(draft, due)


def _take_lone(draft: Draft, lease: int) -> bool:
    """Start the next slot if it is the only one due, and nothing is in its way.

    What becomes of it then is the same under every rule for slots that come
    late, overlap or come together: most looks find this, and are spared them.

    Returns:
        Whether that was so; otherwise nothing has been changed.
    """
    state, spec, now = draft.state, draft.definition.spec, draft.now
    slot, trigger, grace = state.next, spec.trigger, spec.misfire_grace
    if (
        slot is None
        or slot > now
        or state.runs
        or state.waiting
        or spec.jitter
        or trigger is None
        or trigger.backfills
        or not trigger.plain
        or (grace is not None and slot < now - grace)
    ):
        return False
    try:
        following = trigger.next(slot, draft.definition.anchor)
    except Exception:
        return False  # it is asked again, and told of
    if following is not None and following <= now:
        return False
    draft.add("fired", 1)
    draft.claim(Pending(str(slot), Cause.SLOT, slot, slot, 1, open=True), lease)
    draft.go_on(slot, following)
    return True


def _at_limit(draft: Draft, due: Due) -> None:
    """Do with due slots what the overlap rule says while the job is at its limit."""
    overlap = draft.definition.spec.overlap
    if overlap is Overlap.SKIP:
        if not _former(draft):
            runs = draft.state.runs
            fence = runs[0].fence if runs else 0
            draft.pass_over(due.last, RowKind.SKIPPED, Reason.OVERLAP, fence)
    elif overlap is Overlap.QUEUE:
        places = MAX_WAITING - len(draft.state.waiting)
        for firing in _select(draft, due, places):
            draft.wait(firing)
    elif overlap is Overlap.CANCEL_PREVIOUS:
        _replace(draft, due)


def pass_overlapped(draft: Draft, until: int, fence: int) -> None:
    """Count the slots that came while a run was in the way (``skip`` only)."""
    if _former(draft):
        return
    due = draft.due(until)
    if due is not None:
        draft.pass_over(due.last, RowKind.SKIPPED, Reason.OVERLAP, fence)


def pass_behind_waiting(draft: Draft) -> None:
    """Count the slots that came while others waited for a run (``skip`` only).

    Before any of those is started, so that it plays no part how many runs the
    deciding peer can take.
    """
    if draft.definition.spec.overlap is Overlap.SKIP and _slot_waits(draft):
        due = draft.due(draft.now)
        if due is not None:
            runs = draft.state.runs
            fence = runs[0].fence if runs else 0
            draft.pass_over(due.last, RowKind.SKIPPED, Reason.OVERLAP, fence)


def _all_at_once(draft: Draft) -> bool:
    """Tell whether all that is due is taken, though not all of it can start."""
    spec = draft.definition.spec
    return spec.overlap is Overlap.SKIP and spec.coalesce is Coalesce.ALL


def _someone_waits(draft: Draft) -> bool:
    # Slots must not overtake firings that were queued before them.
    return draft.definition.spec.overlap is Overlap.QUEUE and _slot_waits(draft)


def _slot_waits(draft: Draft) -> bool:
    waiting = draft.state.waiting
    return bool(waiting) and any(
        not firing.open and firing.cause is Cause.SLOT and firing.at <= draft.now
        for firing in waiting
    )


def _still_valid(draft: Draft) -> Due | None:
    """Miss what has lapsed, and return what is due beside; None: nothing now."""
    due = draft.due(draft.now)
    cutoff = None if due is None else _lapsed_before(draft, due)
    if due is None or cutoff is None:
        return due
    lapsed = draft.due(cutoff)
    if lapsed is None:
        return due
    draft.pass_over(lapsed.last, RowKind.MISSED, Reason.GRACE)
    # Where there are more of them, another look goes on.
    return None if lapsed.more else draft.due(draft.now)


def _lapsed_before(draft: Draft, due: Due) -> int | None:
    """Return the instant up to which due slots have lapsed; None: none has."""
    spec, now = draft.definition.spec, draft.now
    grace = spec.misfire_grace
    if spec.trigger is not None and spec.trigger.backfills:
        return None  # its slots are late by design
    if grace is not None:
        return now - grace - 1
    if _rule(draft) is Coalesce.LATEST or due.newest is None:
        return None
    cutoff = now - LEAST_GRACE - 1
    if due.more:
        return cutoff
    # The newest is valid until the next is due, however late it is.
    newest = draft.due_at(due.newest)
    return cutoff if newest is None else min(cutoff, newest - 1)


def _rule(draft: Draft) -> Coalesce:
    """Return how slots that are due together are dealt with."""
    spec = draft.definition.spec
    if spec.overlap is Overlap.CANCEL_PREVIOUS and spec.coalesce is Coalesce.ALL:
        # Each would replace the one before it as soon as it is taken.
        return Coalesce.LATEST
    return spec.coalesce


def _former(draft: Draft) -> bool:
    # A run of the removed job that had the id before delays slots, no more.
    return any(run.cancel is Reason.REMOVED for run in draft.state.runs)


def _select(draft: Draft, due: Due, places: int) -> list[Pending]:
    """Take the firings that the coalescing rule chooses among the due slots."""
    spec, oldest, newest = draft.definition.spec, due.oldest, due.newest
    if places <= 0 or oldest is None or newest is None:
        return []
    rule = _rule(draft)
    if rule is Coalesce.ALL:
        return [] if _beyond_limit(draft, due) else _each(draft, newest, places)
    if spec.overlap is Overlap.QUEUE and _fresh(draft, due):
        return _each(draft, newest, places)
    if rule is Coalesce.EARLIEST:
        draft.pass_over(oldest - 1, RowKind.SKIPPED)  # excluded ones before it
        firing = draft.take_slot(oldest)
        draft.passed(oldest)
        others = draft.pass_over(due.last, RowKind.SKIPPED, Reason.COALESCED)
        return [replace(firing, missed=others)]
    if due.more:
        # The newest is yet to come.
        draft.pass_over(due.last, RowKind.SKIPPED, Reason.COALESCED)
        return []
    others = draft.pass_over(newest - 1, RowKind.SKIPPED, Reason.COALESCED)
    firing = draft.take_slot(newest, missed=others)
    draft.passed(newest)
    return [firing]


def _fresh(draft: Draft, due: Due) -> bool:
    """Tell whether the look is on time enough for each slot to have its turn."""
    oldest = None if due.oldest is None else draft.due_at(due.oldest)
    return oldest is not None and not due.more and oldest >= draft.now - LEAST_GRACE


def _beyond_limit(draft: Draft, due: Due) -> bool:
    """Skip what is not caught up with; return whether another look has to go on."""
    spec = draft.definition.spec
    limit = spec.coalesce_limit
    if spec.overlap is Overlap.SKIP:
        # All that is not started at once waits, and so many may wait.
        limit = min(limit or MAX_WAITING, MAX_WAITING)
    if limit is None:
        return False
    excess = draft.tally(due.last).kept - limit
    if excess <= 0:
        return False
    draft.pass_over(draft.nth(due.last, excess), RowKind.SKIPPED, Reason.LIMIT)
    return due.more


def _each(draft: Draft, newest: int, places: int) -> list[Pending]:
    firings: list[Pending] = []
    while len(firings) < min(places, MAX_WAITING):
        slot = draft.state.next
        if slot is None or slot > newest:
            break
        if draft.due_at(slot) is None:
            if not draft.pass_excluded(newest):
                break
            continue
        firings.append(draft.take_slot(slot))
        draft.passed(slot)
    return firings


def _replace(draft: Draft, due: Due) -> None:
    """Make the newest slot follow the oldest run, which is told to stop."""
    selected = _select(draft, due, 1)
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
