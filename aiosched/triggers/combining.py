"""Triggers made of triggers: the instants that all have, or that any has."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal, Self

from aiosched.errors import TriggerError
from aiosched.instants import DAY, micros, moment
from aiosched.triggers.base import (
    FIRST_INSTANT,
    LOOK_LIMIT,
    AnyTrigger,
    Trigger,
)
from aiosched.triggers.exclusions import ever_fires

__all__ = ["AndTrigger", "OrTrigger"]

_TEN_YEARS = 3653 * DAY
# Where an "and" of triggers without a start is first tried.
_RECENT = micros(datetime(2020, 1, 1, tzinfo=UTC))


class _Combined(Trigger, frozen=True):
    """What both combinations share."""

    triggers: tuple[AnyTrigger, ...]

    def __init__(self, triggers: Iterable[Trigger], **data: Any) -> None:
        """Combine ``triggers``; a combination of the same kind is taken apart.

        Raises:
            TriggerError: There is none, or one of them is not a trigger or moves
                its slots.
        """
        flat: list[object] = []
        given: object = triggers
        listed = isinstance(given, Iterable) and not isinstance(given, str | Trigger)
        for trigger in triggers if listed else (given,):
            if isinstance(trigger, type(self)):
                flat.extend(trigger.triggers)
            else:
                flat.append(trigger)
        if not flat:
            raise TriggerError("triggers", [], "is empty", "give at least one trigger")
        super().__init__(triggers=tuple(flat), **data)
        for trigger in self.triggers:
            if trigger.moves:
                raise TriggerError(
                    "triggers",
                    trigger.describe(),
                    "a part whose slots are moved cannot be combined",
                    "combine first, and exclude days from the combination",
                )

    def needs_pin(self) -> bool:
        """Tell whether any of them has no start yet."""
        return any(trigger.needs_pin() for trigger in self.triggers)

    def anchored(self, instant: datetime) -> Self:
        """Return the copy in which each of them is pinned to ``instant``.

        Raises:
            TriggerError: ``instant`` is naive, or nothing is left to fire.
        """
        super().anchored(instant)
        if not self.needs_pin():
            return self
        return type(self)([trigger.anchored(instant) for trigger in self.triggers])

    @property
    def plain(self) -> bool:
        """Whether none of its parts excludes anything."""
        return all(trigger.plain for trigger in self.triggers)

    def for_job(self, job_id: str) -> Self:
        """Return the copy in which each part has what the job draws.

        Raises:
            TriggerError: What is drawn leaves no instant that all have.
        """
        settled = [trigger.for_job(job_id) for trigger in self.triggers]
        if all(one is other for one, other in zip(settled, self.triggers, strict=True)):
            return self
        return type(self)(settled)


class OrTrigger(_Combined, frozen=True):
    """Fires at each instant that any of its triggers has; together counts once.

    Counts are by enumeration, 10,000 slots a look.  An instant is excluded if all
    parts that have it exclude it.
    """

    kind: Literal["or"] = "or"

    def __init__(self, triggers: Iterable[Trigger], **data: Any) -> None:
        """Combine ``triggers``.

        Raises:
            TriggerError: There is none, or one of them is not a trigger or moves
                its slots.
        """
        super().__init__(triggers, **data)

    def describe(self) -> str:
        """Join the words of its parts."""
        return "; or ".join(trigger.describe() for trigger in self.triggers)

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the earliest next slot; ``anchor`` has no part in it."""
        del anchor
        slots = [trigger.next(after) for trigger in self.triggers]
        return min((slot for slot in slots if slot is not None), default=None)

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the latest last slot; ``anchor`` has no part in it."""
        del anchor
        slots = [trigger.last(until) for trigger in self.triggers]
        return max((slot for slot in slots if slot is not None), default=None)

    def due(self, slot: int, anchor: int | None = None) -> int | None:
        """Return the slot; None: each part that has it excludes it."""
        del anchor
        for trigger in self.triggers:
            if trigger.next(slot - 1) == slot and trigger.due(slot) is not None:
                return slot
        return None

    def opens(self, anchor: int | None = None) -> int | None:
        """Return the earliest start if all parts have one; ``anchor`` has no part."""
        del anchor
        starts = [trigger.opens() for trigger in self.triggers]
        known = [start for start in starts if start is not None]
        return min(known) if len(known) == len(starts) else None

    def closes(self) -> int | None:
        """Return the latest end, if all of its parts have one."""
        ends = [trigger.closes() for trigger in self.triggers]
        known = [end for end in ends if end is not None]
        return max(known) if len(known) == len(ends) else None


class AndTrigger(_Combined, frozen=True):
    """Fires at the instants that all of its triggers have, to the microsecond.

    An instant that any of them excludes is excluded.

    Meetings are sought by enumeration, at most 10,000 candidates a look; where
    that is not enough, no further meeting counts.  An interval in it should have a
    start: without one it begins at some fraction of a second.
    """

    kind: Literal["and"] = "and"

    def __init__(self, triggers: Iterable[Trigger], **data: Any) -> None:
        """Combine ``triggers``.

        Raises:
            TriggerError: There is none, one of them is not a trigger or moves its
                slots, all meetings are excluded, or they do not meet within ten
                years (of 2020, or of the latest first slot if that is later; for
                triggers that end before, of that slot).  Where one is not pinned,
                this is checked when it is.
        """
        super().__init__(triggers, **data)
        if not self.needs_pin() and not self._ever_meet():
            raise TriggerError(
                "triggers",
                self.describe(),
                "they do not meet within ten years, or what meets is excluded",
                "combine triggers that share instants, or use | for either",
            )

    def describe(self) -> str:
        """Join the words of its parts."""
        parts = []
        for trigger in self.triggers:
            words = trigger.describe()
            parts.append(f"({words})" if isinstance(trigger, OrTrigger) else words)
        return "; and at once ".join(parts)

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the next meeting; ``anchor`` has no part in it.

        Raises:
            TriggerError: It is not pinned, and one of its parts would be past its
                end.
        """
        if self.needs_pin():
            pinned = [one.anchored(moment(after)) for one in self.triggers]
            return _next_meeting(pinned, after)
        del anchor
        return _next_meeting(self.triggers, after)

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the latest meeting; ``anchor`` has no part in it."""
        del anchor
        at = until
        for _ in range(LOOK_LIMIT):
            earliest = at
            for trigger in self.triggers:
                slot = trigger.last(earliest)
                if slot is None:
                    return None
                earliest = slot
            if earliest == at:
                return at
            at = earliest
        return None

    def due(self, slot: int, anchor: int | None = None) -> int | None:
        """Return the slot; None: a part excludes it."""
        del anchor
        for trigger in self.triggers:
            if not trigger.plain and trigger.due(slot) is None:
                return None
        return slot

    def opens(self, anchor: int | None = None) -> int | None:
        """Return the latest start of its parts; ``anchor`` has no part in it."""
        del anchor
        starts = [trigger.opens() for trigger in self.triggers]
        return max((start for start in starts if start is not None), default=None)

    def closes(self) -> int | None:
        """Return the earliest end of its parts."""
        ends = [trigger.closes() for trigger in self.triggers]
        return min((end for end in ends if end is not None), default=None)

    def _ever_meet(self) -> bool:
        """Tell whether there is a meeting within ten years of a fair beginning."""
        for beginning in (_RECENT, FIRST_INSTANT):
            firsts = [trigger.next(beginning - 1) for trigger in self.triggers]
            known = [first for first in firsts if first is not None]
            if len(known) < len(firsts):
                continue
            meeting = _next_meeting(self.triggers, max(known) - 1, within=_TEN_YEARS)
            if meeting is not None:
                return self.plain or ever_fires(self, [meeting])
        return False


def _next_meeting(
    triggers: Iterable[Trigger], after: int, within: int | None = None
) -> int | None:
    """Leap from slot to slot, each time to the latest, until all agree."""
    at = after + 1
    for _ in range(LOOK_LIMIT):
        latest = at
        for trigger in triggers:
            slot = trigger.next(latest - 1)
            if slot is None:
                return None
            latest = slot
        if within is not None and latest - after > within:
            return None
        if latest == at:
            return at
        at = latest
    return None
