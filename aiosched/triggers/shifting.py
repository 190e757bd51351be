"""Moving slots from excluded days to business days."""

from __future__ import annotations

from collections.abc import Callable

from aiosched.instants import DAY
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT, Fate, Trigger
from aiosched.triggers.days import DaySet
from aiosched.triggers.localdays import LocalDays

__all__ = ["Shifting"]


class Shifting:
    """Where the slots of a trigger go that lie on excluded days.

    A business day is a day that is not excluded.  It takes the slots of the
    nearest excluded day that has any, if it has none itself; so the order of slots
    is kept.
    """

    __slots__ = ("_anchor", "_clock", "_days", "_forward", "_trigger")

    def __init__(
        self,
        trigger: Trigger,
        days: DaySet,
        clock: LocalDays,
        *,
        forward: bool,
        anchor: int | None,
    ) -> None:
        """Move slots of ``trigger``.

        Args:
            trigger: Whose slots they are.
            days: The excluded days.
            clock: The days of the zone that is meant.
            forward: To the next business day, else to the previous one.
            anchor: As for :meth:`Trigger.next`.
        """
        self._trigger = trigger
        self._days = days
        self._clock = clock
        self._forward = forward
        self._anchor = anchor

    def due(self, slot: int, day: int) -> int | None:
        """Return when a slot of an excluded day is due; None: it is left out."""
        target, _ = self._place(day)
        if target is None:
            return None
        at = self._moved(slot, target - day)
        return at if self._within(at) else None

    def span(self, slot: int, day: int, until: int) -> tuple[Fate, int]:
        """Say what becomes of a slot, and up to which instant of its neighbours."""
        target, edge = self._place(day)
        if target is None:
            return "excluded", min(edge, until)

        def inside(instant: int) -> bool:
            return self._within(self._moved(instant, target - day))

        fits = inside(slot)
        last = self._trigger.last(edge, self._anchor)
        if last is not None and last > slot and inside(last) != fits:
            # The end comes, or the start, while they are moved.
            edge = _halve(lambda at: inside(at) == fits, slot, last)
        return "moved" if fits else "excluded", min(edge, until)

    def first_due(self, slot: int, day: int, edge: int, after: int) -> int | None:
        """Return the first instant after ``after`` to which slots are moved.

        Args:
            slot: A slot of an excluded day.
            day: That day.
            edge: Up to which instant its neighbours are moved with it.
            after: An instant.
        """
        target, _ = self._place(day)
        if target is None:
            return None

        def over(instant: int) -> bool:
            return self._moved(instant, target - day) <= after

        if over(slot):
            last = self._trigger.last(edge, self._anchor)
            if last is None or over(last):
                return None
            begin = _halve(over, slot, last)
            slot = self._trigger.next(begin, self._anchor) or last
        return self._moved(slot, target - day)

    def earliest(self, after: int) -> int:
        """Return an instant behind which all slots lie that are due after ``after``."""
        if not self._forward:
            return after
        clock = self._clock
        day = clock.day(after)
        if day not in self._days:
            day -= 1
            while not clock.has(day) and clock.opens(day) > FIRST_INSTANT:
                day -= 1
        if day not in self._days:
            return after
        before = self._business_day(day, -1)
        return FIRST_INSTANT if before is None else clock.opens(before + 1) - 1

    def _place(self, day: int) -> tuple[int | None, int]:
        """Find the day to which an excluded day's slots are moved.

        Returns:
            That day, or None if they are left out; and until when this answer is
            the same.
        """
        clock, trigger, anchor = self._clock, self._trigger, self._anchor
        closing = clock.opens(day + 1) - 1
        behind = clock.opens(self._days.run(day, 1) + 1) - 1
        target = self._business_day(day, 1 if self._forward else -1)
        if target is None:
            return None, behind
        opening, beyond = clock.opens(target), clock.opens(target + 1)
        if not self._forward:
            before = trigger.last(clock.opens(day) - 1, anchor)
            if before is None or before < opening:
                return target, closing
            return None, behind
        slot = trigger.next(closing, anchor)
        if slot is None or slot >= beyond:
            return target, closing
        if slot < opening:
            nearest = trigger.last(opening - 1, anchor)
            if nearest is not None:
                return None, clock.opens(clock.day(nearest)) - 1
        return None, opening - 1

    def _business_day(self, day: int, step: int) -> int | None:
        """Return the first day that is not excluded, from an excluded one on."""
        clock = self._clock
        while True:
            day = self._days.run(day, step) + step
            if day in self._days:
                return None  # 10,000 days, or more
            while not clock.has(day):
                if not FIRST_INSTANT < clock.opens(day) <= LAST_INSTANT:
                    return None
                day += step
            if day not in self._days:
                return day

    def _moved(self, slot: int, days: int) -> int:
        """Return the instant of the same wall time, so many days away."""
        clock = self._clock
        wall = clock.wall(slot)
        second = clock.repeats(slot)
        if second is not None:
            # So that the order of the slots of both passes is kept.
            earlier = self._trigger.last(second - 1, self._anchor)
            if earlier is not None:
                wall = max(wall, clock.wall(earlier))
        at = clock.reaches(wall + days * DAY)
        return max(at, clock.opens(clock.day(slot) + days))

    def _within(self, at: int) -> bool:
        """Tell whether an instant lies between start and end."""
        if self._forward:
            final = self._trigger.closes()
            return at <= (LAST_INSTANT if final is None else final)
        first = self._trigger.opens(self._anchor)
        return at >= (FIRST_INSTANT if first is None else first)


def _halve(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the last instant that ``holds``; ``low`` does, ``high`` does not."""
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low
