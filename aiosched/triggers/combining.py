"""Triggers made of triggers: the instants that all have, or that any has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, Self

from aiosched.errors import TriggerError
from aiosched.instants import DAY, micros, moment
from aiosched.triggers.base import (
    FIRST_INSTANT,
    LAST_INSTANT,
    LOOK_LIMIT,
    AnyTrigger,
    Trigger,
)
from aiosched.triggers.cronparts import Draw
from aiosched.triggers.drawn import check_every_draw, has_draws
from aiosched.triggers.exclusions import ever_fires
from aiosched.triggers.grids import Grid, common_grid
from aiosched.triggers.inputs import check_order, read_instant, stamp
from aiosched.triggers.interval import IntervalTrigger

__all__ = ["MOST_ASKED", "AndTrigger", "OrTrigger"]

MOST_ASKED = 3_000
"""How many questions to its parts may be spent on whether an "and" ever meets."""

_TEN_YEARS = 3653 * DAY
# Where an "and" of triggers without a start is first tried.
_RECENT = micros(datetime(2020, 1, 1, tzinfo=UTC))
# An inner "and" leaps some times for each question.
_INNER_LEAPS = 8


class _Combined(Trigger, frozen=True):
    """What both combinations share."""

    triggers: tuple[AnyTrigger, ...]
    start: datetime | None = None
    end: datetime | None = None

    def __init__(
        self,
        triggers: Iterable[Trigger],
        *,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        **data: Any,
    ) -> None:
        """Combine ``triggers``; a combination of the same kind is taken apart.

        Raises:
            TriggerError: There is none, one of them is not a trigger or moves
                its slots, a bound is naive, or the end is before the start.
        """
        flat: list[object] = []
        given: object = triggers
        listed = isinstance(given, Iterable) and not isinstance(given, str | Trigger)
        for trigger in triggers if listed else (given,):
            if isinstance(trigger, type(self)) and trigger._unbounded:
                flat.extend(trigger.triggers)
            else:
                flat.append(trigger)
        if not flat:
            raise TriggerError("triggers", [], "is empty", "give at least one trigger")
        first, final = read_instant(start, "start"), read_instant(end, "end")
        check_order(first, final)
        super().__init__(triggers=tuple(flat), start=first, end=final, **data)
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
        return self._of([trigger.anchored(instant) for trigger in self.triggers])

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
        return self._of(settled)

    def _of(self, triggers: Iterable[Trigger]) -> Self:
        """Return the copy with other parts."""
        return type(self)(triggers, start=self.start, end=self.end)

    def _draws(self) -> Iterator[tuple[str, Draw]]:
        for trigger in self.triggers:
            yield from trigger._draws()

    def _drawn(self, numbers: Mapping[str, int]) -> Self:
        return self._of([trigger._drawn(numbers) for trigger in self.triggers])

    @property
    def _weight(self) -> int:
        return sum(trigger._weight for trigger in self.triggers)

    @property
    def _unbounded(self) -> bool:
        return self.start is None and self.end is None

    @cached_property
    def _bounds(self) -> tuple[int, int]:
        return (
            FIRST_INSTANT if self.start is None else micros(self.start),
            LAST_INSTANT if self.end is None else micros(self.end),
        )

    def _said(self, words: str) -> str:
        """Add the bounds to the words of the parts."""
        if self._unbounded:
            return words
        words = f"({words})"
        if self.start is not None:
            words += f", from {stamp(self.start)}"
        return words if self.end is None else f"{words}, until {stamp(self.end)}"


class OrTrigger(_Combined, frozen=True):
    """Fires at each instant that any of its triggers has; together counts once.

    Counts are by enumeration, 10,000 slots a look.  An instant is excluded if all
    parts that have it exclude it.

    Attributes:
        triggers: Its parts.
        start: No slot is earlier; a slot may fall on it.
        end: No slot is later; a slot may fall on it.
    """

    kind: Literal["or"] = "or"

    def __init__(
        self,
        triggers: Iterable[Trigger],
        *,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        **data: Any,
    ) -> None:
        """Combine ``triggers``.

        Args:
            triggers: The parts; an "or" without bounds is taken apart.
            start: The first instant that may be a slot, aware.
            end: The last instant that may be a slot, aware.
            **data: ``kind``, where it comes from data.

        Raises:
            TriggerError: There is none, one of them is not a trigger or moves its
                slots, a bound is naive, or the end is before the start.
        """
        super().__init__(triggers, start=start, end=end, **data)

    def describe(self) -> str:
        """Join the words of its parts."""
        return self._said("; or ".join(one.describe() for one in self.triggers))

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the earliest next slot; ``anchor`` has no part in it."""
        del anchor
        low, high = self._bounds
        slots = [trigger.next(max(after, low - 1)) for trigger in self.triggers]
        slot = min((slot for slot in slots if slot is not None), default=None)
        return None if slot is None or slot > high else slot

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the latest last slot; ``anchor`` has no part in it."""
        del anchor
        low, high = self._bounds
        slots = [trigger.last(min(until, high)) for trigger in self.triggers]
        slot = max((slot for slot in slots if slot is not None), default=None)
        return None if slot is None or slot < low else slot

    def due(self, slot: int, anchor: int | None = None) -> int | None:
        """Return the slot; None: each part that has it excludes it."""
        del anchor
        for trigger in self.triggers:
            if trigger.next(slot - 1) == slot and trigger.due(slot) is not None:
                return slot
        return None

    def opens(self, anchor: int | None = None) -> int | None:
        """Return the start, or the earliest of the parts; ``anchor`` has no part."""
        del anchor
        starts = [trigger.opens() for trigger in self.triggers]
        known = [start for start in starts if start is not None]
        own = [] if self.start is None else [micros(self.start)]
        if len(known) == len(starts):
            own.append(min(known))
        return max(own, default=None)

    def closes(self) -> int | None:
        """Return the end, or the latest of its parts if all of them have one."""
        ends = [trigger.closes() for trigger in self.triggers]
        known = [end for end in ends if end is not None]
        own = [] if self.end is None else [micros(self.end)]
        if len(known) == len(ends):
            own.append(max(known))
        return min(own, default=None)


class AndTrigger(_Combined, frozen=True):
    """Fires at the instants that all of its triggers have, to the microsecond.

    An instant that any of them excludes is excluded.

    Intervals that meet make one interval, by arithmetic.  Other meetings are sought
    by enumeration, at most 10,000 candidates a look; where that is not enough, no
    further meeting counts.  An interval in it should have a start: without one it
    begins at some fraction of a second.

    Attributes:
        triggers: Its parts.
        start: No slot is earlier; a slot may fall on it.
        end: No slot is later; a slot may fall on it.
    """

    kind: Literal["and"] = "and"

    def __init__(
        self,
        triggers: Iterable[Trigger],
        *,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        **data: Any,
    ) -> None:
        """Combine ``triggers``.

        Args:
            triggers: The parts; an "and" without bounds is taken apart.
            start: The first instant that may be a slot, aware.
            end: The last instant that may be a slot, aware.
            **data: ``kind``, where it comes from data.

        Raises:
            TriggerError: There is none, one of them is not a trigger or moves its
                slots, a bound is naive, or the end is before the start.  All
                meetings are excluded, or no meeting is found within ten years (of
                2020, or of the latest first slot if that is later; for triggers
                that end before, of that slot) by 3,000 questions to its parts.
                Where one is not pinned, this is checked when it is; where one has
                an ``H``, at once, for each number that it may draw, and none may
                be without a start then.
        """
        super().__init__(triggers, start=start, end=end, **data)
        if has_draws(self):
            self._check_draws()
        elif not self.needs_pin() and not self._ever_meet():
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
            bare = isinstance(trigger, OrTrigger) and trigger._unbounded
            parts.append(f"({words})" if bare else words)
        return self._said("; and at once ".join(parts))

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the next meeting; ``anchor`` has no part in it.

        Raises:
            TriggerError: It is not pinned, and one of its parts would be past its
                end.
        """
        del anchor
        low, high = self._bounds
        if self.needs_pin():
            pinned = [one.anchored(moment(after)) for one in self.triggers]
            parts = _parts(pinned)
        else:
            parts = self._merged
        slot = _next_meeting(parts, max(after, low - 1))
        return None if slot is None or slot > high else slot

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the latest meeting; ``anchor`` has no part in it."""
        del anchor
        low, high = self._bounds
        at = min(until, high)
        for _ in range(LOOK_LIMIT if self._merged else 0):
            earliest = at
            for part in self._merged:
                slot = part.last(earliest)
                if slot is None or slot < low:
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
        """Return the latest start there is; ``anchor`` has no part in it."""
        del anchor
        starts = [trigger.opens() for trigger in self.triggers]
        if self.start is not None:
            starts.append(micros(self.start))
        return max((start for start in starts if start is not None), default=None)

    def closes(self) -> int | None:
        """Return the earliest end there is."""
        ends = [trigger.closes() for trigger in self.triggers]
        if self.end is not None:
            ends.append(micros(self.end))
        return min((end for end in ends if end is not None), default=None)

    @property
    def _weight(self) -> int:
        return super()._weight * _INNER_LEAPS

    @cached_property
    def _merged(self) -> Sequence[Trigger | Grid]:
        return _parts(self.triggers)

    def _check_draws(self) -> None:
        """Refuse what would not meet for some draw."""
        remedy = "say it in one expression, or write numbers instead of H"
        if any(one.needs_pin() and not has_draws(one) for one in self.triggers):
            raise TriggerError(
                "triggers",
                self.describe(),
                "a job would draw for H whether it meets what has no start yet",
                remedy,
            )
        check_every_draw(self, together=True, remedy=remedy)

    def _ever_meet(self) -> bool:
        """Tell whether a meeting is soon found from a fair beginning on."""
        low, high = self._bounds
        parts = self._merged
        if not parts:
            return False
        leaps = max(MOST_ASKED // super()._weight, 1)
        for beginning in (_RECENT, FIRST_INSTANT):
            after = max(beginning, low) - 1
            firsts = [part.next(after) for part in parts]
            known = [first for first in firsts if first is not None and first <= high]
            if len(known) < len(firsts):
                continue
            meeting = _next_meeting(parts, max(known) - 1, _TEN_YEARS, leaps)
            if meeting is not None and meeting <= high:
                return self.plain or ever_fires(self, [meeting])
            return False
        return False


def _parts(triggers: Sequence[Trigger]) -> Sequence[Trigger | Grid]:
    """Return what has to meet, all intervals together as one; nothing: never."""
    grids: list[Grid] = []
    others: list[Trigger | Grid] = []
    for trigger in triggers:
        grid = trigger.grid() if isinstance(trigger, IntervalTrigger) else None
        if grid is None:
            others.append(trigger)
        else:
            grids.append(grid)
    if not grids:
        return others
    common = common_grid(grids)
    return [] if common is None else [*others, common]


def _next_meeting(
    parts: Sequence[Trigger | Grid],
    after: int,
    within: int | None = None,
    leaps: int = LOOK_LIMIT,
) -> int | None:
    """Leap from slot to slot, each time to the latest, until all agree."""
    at = after + 1
    for _ in range(leaps if parts else 0):
        latest = at
        for part in parts:
            slot = part.next(latest - 1)
            if slot is None:
                return None
            latest = slot
        if within is not None and latest - after > within:
            return None
        if latest == at:
            return at
        at = latest
    return None
