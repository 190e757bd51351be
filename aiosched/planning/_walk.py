"""Walking along the slots of a trigger: which are due, and how many.

Of a plain trigger these are single questions.  One that excludes or moves slots
is walked stretch by stretch; neither lists its slots, however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from aiosched.planning.moments import (
    MOST_STRETCHES,
    due_at,
    not_excluded,
    stretch_from,
)
from aiosched.records import Definition
from aiosched.triggers.backfill import BackfillTrigger
from aiosched.triggers.base import LAST_INSTANT, LOOK_LIMIT, Stretch, Trigger
from aiosched.triggers.excluding import ExcludingTrigger

__all__ = [
    "Due",
    "Tally",
    "due_slots",
    "excluded_to",
    "fires_after",
    "first_due",
    "nth",
    "tally",
]

_AROUND = (ExcludingTrigger, BackfillTrigger)


class Due(NamedTuple):
    """Slots, from the next one on, that can be accounted for.

    Attributes:
        last: The last of them, be it excluded or not.
        oldest: The first that is not excluded; None: all are.
        newest: The last that is not excluded; None: all are.
        more: Whether there are more of them than one look gets to.
    """

    last: int
    oldest: int | None
    newest: int | None
    more: bool = False


@dataclass(slots=True)
class Tally:
    """Slots of a range, by whether they are excluded; bounds mean nothing at 0."""

    kept: int = 0
    excluded: int = 0
    first_kept: int = 0
    last_kept: int = 0
    first_excluded: int = 0
    last_excluded: int = 0

    def add(self, first: int, last: int, number: int, *, excluded: bool) -> None:
        """Add slots that share a fate, from ``first`` to ``last``."""
        if excluded:
            self.first_excluded = self.first_excluded if self.excluded else first
            self.excluded += number
            self.last_excluded = last
        else:
            self.first_kept = self.first_kept if self.kept else first
            self.kept += number
            self.last_kept = last


def due_slots(
    definition: Definition, first: int, until: int, *, whole: bool
) -> Due | None:
    """Return the slots from ``first`` on that are due at ``until``.

    Slots are due in their order: with jitter, too, only the last that has come
    can be due later.

    Args:
        definition: The job.
        first: A slot.
        until: An instant.
        whole: Leave out a stretch of excluded slots that is not over yet, so
            that it is accounted for at once when it is.

    Returns:
        None if there is none.
    """
    trigger = definition.spec.trigger
    if trigger is None:
        return None
    if not trigger.plain:
        return _walk(definition, trigger, first, until, whole=whole)
    anchor = definition.anchor
    last = trigger.reach(first, until, anchor) if first <= until else None
    jittered = last is not None and definition.spec.jitter
    if last is not None and jittered and not _is_due(definition, last, until):
        last = trigger.reach(first, last - 1, anchor) if first < last else None
    if last is None:
        return None
    more = not _exact(trigger) and _is_due(
        definition, trigger.next(last, anchor), until
    )
    return Due(last, first, last, more)


def _is_due(definition: Definition, slot: int | None, until: int) -> bool:
    at = None if slot is None else due_at(definition, slot)
    return at is not None and at <= until


def _walk(
    definition: Definition, trigger: Trigger, first: int, until: int, *, whole: bool
) -> Due | None:
    """Do so for a trigger that excludes or moves slots."""
    anchor = definition.anchor
    oldest: int | None = None
    newest: int | None = None
    last: int | None = None
    slot: int | None = first
    listed, counts_alone = 0, _exact(trigger)
    for _ in range(MOST_STRETCHES):
        if slot is None:
            break
        due = trigger.due(slot, anchor)
        if due is None:
            found = _excluded_now(trigger, slot, until, anchor, whole=whole)
        else:
            found = _due_now(definition, trigger, slot, due, until)
        if found is None:
            break
        if due is not None:
            oldest, newest = slot if oldest is None else oldest, found.last
        last, slot = found.last, trigger.next(found.last, anchor)
        listed += 0 if counts_alone else found.number
        if listed >= LOOK_LIMIT:
            return Due(last, oldest, newest, _comes(definition, slot, until))
    else:
        if last is not None:
            return Due(last, oldest, newest, _comes(definition, slot, until))
    return None if last is None else Due(last, oldest, newest)


def _exact(trigger: Trigger) -> bool:
    """Tell whether a trigger, or the one that it stands around, counts exactly."""
    while not trigger.exact and isinstance(trigger, _AROUND):
        trigger = trigger.trigger
    return trigger.exact


def _excluded_now(
    trigger: Trigger, slot: int, until: int, anchor: int | None, *, whole: bool
) -> Stretch | None:
    """Return the excluded slots from ``slot`` on that are over."""
    if slot > until:
        return None
    found = stretch_from(trigger, slot, LAST_INSTANT, anchor)
    if found.last <= until:
        return found
    return None if whole else stretch_from(trigger, slot, until, anchor)


def _due_now(
    definition: Definition, trigger: Trigger, slot: int, due: int, until: int
) -> Stretch | None:
    """Return the slots from ``slot`` on, alike in fate, that are due."""
    anchor, sure = definition.anchor, until - definition.spec.jitter
    if due > sure:
        one = Stretch(slot, 1, "kept")
        return one if _is_due(definition, slot, until) else None
    found = stretch_from(trigger, slot, slot + sure - due, anchor)
    if found.fate == "kept" or _moved_to(trigger, found.last, sure, anchor):
        return found
    # Later slots are not due earlier: the last that is due is found by halving.
    low, high = slot, found.last
    while high - low > 1:
        middle = (low + high) // 2
        tried = trigger.last(middle, anchor)
        if tried is None or tried <= low or _moved_to(trigger, tried, sure, anchor):
            low = middle
        else:
            high = tried
    return found._replace(last=trigger.last(low, anchor) or slot)


def _moved_to(trigger: Trigger, slot: int, until: int, anchor: int | None) -> bool:
    due = trigger.due(slot, anchor)
    return due is not None and due <= until


def _comes(definition: Definition, slot: int | None, until: int) -> bool:
    """Tell whether the first slot from ``slot`` on that is not excluded is due."""
    trigger = definition.spec.trigger
    if trigger is not None:
        slot = not_excluded(trigger, slot, definition.anchor)
    return _is_due(definition, slot, until)


def first_due(definition: Definition, now: int) -> int | None:
    """Return the first slot that is due at or after ``now``.

    An excluded one counts where it is at or after it.
    """
    trigger, anchor = definition.spec.trigger, definition.anchor
    if trigger is None:
        return None
    slot = trigger.next(now - 1, anchor)
    before = trigger.last(now - 1, anchor)
    if before is not None and _moved_past(trigger, before, now, anchor):
        return _first_moved_past(trigger, before, now, anchor)
    for _ in range(MOST_STRETCHES):
        due = None if slot is None else trigger.due(slot, anchor)
        if slot is None or due is None or due >= now:
            break
        found = _due_now(definition, trigger, slot, due, now - 1)
        slot = trigger.next(slot if found is None else found.last, anchor)
    return slot


def _moved_past(trigger: Trigger, slot: int, now: int, anchor: int | None) -> bool:
    due = trigger.due(slot, anchor)
    return due is not None and due >= now


def _first_moved_past(trigger: Trigger, slot: int, now: int, anchor: int | None) -> int:
    """Return the first of the slots before ``now``, up to this one, due after it."""
    width = 1
    low: int | None = None
    high = slot
    while low is None:
        tried = trigger.last(slot - width, anchor)
        if tried is None or not _moved_past(trigger, tried, now, anchor):
            low = slot - width
        else:
            high, width = tried, (slot - tried) * 2
    while high - low > 1:
        middle = (low + high) // 2
        tried = trigger.last(middle, anchor)
        if tried is None or not _moved_past(trigger, tried, now, anchor):
            low = middle
        elif tried > low:
            high = tried
        else:
            low = middle
    return high


def excluded_to(definition: Definition, first: int, until: int) -> int:
    """Return the last of the slots from ``first`` on that are excluded like it."""
    trigger, anchor = definition.spec.trigger, definition.anchor
    if trigger is None:
        return first
    return stretch_from(trigger, first, until, anchor).last


def fires_after(definition: Definition, slot: int) -> bool:
    """Tell whether any slot behind this one is not excluded."""
    trigger, anchor = definition.spec.trigger, definition.anchor
    if trigger is None:
        return False
    following = trigger.next(slot, anchor)
    return not_excluded(trigger, following, anchor) is not None


def tally(definition: Definition, first: int, last: int) -> Tally:
    """Count the slots from ``first`` to ``last``, which one look gets to."""
    found = Tally()
    trigger, anchor = definition.spec.trigger, definition.anchor
    if trigger is None or first > last:
        return found
    if trigger.plain:
        end = last if first == last else trigger.reach(first, last, anchor)
        if end is not None:
            number = 1 if first == end else trigger.count(first, end, anchor)
            found.add(first, end, number, excluded=False)
        return found
    slot: int | None = first
    while slot is not None and slot <= last:
        end, number, fate = stretch_from(trigger, slot, last, anchor)
        found.add(slot, end, number, excluded=fate == "excluded")
        slot = trigger.next(end, anchor)
    return found


def nth(definition: Definition, first: int, last: int, number: int) -> int:
    """Return the ``number``-th slot of a range that is not excluded.

    The range is one that :func:`due_slots` has named, and has so many.
    """
    trigger, anchor = definition.spec.trigger, definition.anchor
    slot: int | None = first
    while trigger is not None and slot is not None and slot <= last:
        end, many, fate = stretch_from(trigger, slot, last, anchor)
        if fate != "excluded":
            if many >= number:
                return _nth_of(trigger, slot, end, number, anchor)
            number -= many
        slot = trigger.next(end, anchor)
    return last


def _nth_of(
    trigger: Trigger, first: int, last: int, number: int, anchor: int | None
) -> int:
    if not _exact(trigger):
        slot = first
        for _ in range(number - 1):
            slot = trigger.next(slot, anchor) or slot
        return slot
    low, high = first - 1, last
    while high - low > 1:
        middle = (low + high) // 2
        if trigger.count(first, middle, anchor) >= number:
            high = middle
        else:
            low = middle
    return high
