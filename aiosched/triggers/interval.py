"""A fixed span of elapsed time, again and again."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Literal

from aiosched.errors import TriggerError
from aiosched.instants import micros, moment
from aiosched.triggers.base import LAST_INSTANT, Trigger
from aiosched.triggers.grids import Grid
from aiosched.triggers.inputs import (
    check_order,
    read_instant,
    stamp,
)

__all__ = ["IntervalTrigger"]

_UNITS = {
    "weeks": 604_800_000,
    "days": 86_400_000,
    "hours": 3_600_000,
    "minutes": 60_000,
    "seconds": 1_000,
    "milliseconds": 1,
}
_LONGEST = (LAST_INSTANT // 1000) - 1


class IntervalTrigger(Trigger, frozen=True):
    """Fires each time a fixed span of elapsed time is over.

    The slots are ``start``, ``start + interval``, ``start + 2 × interval`` and so
    on: the grid never drifts, and clock changes do not move it (every 24 hours is
    not every day at the same wall time; that is a
    :class:`~aiosched.CalendarIntervalTrigger`).

    Without a start it is not pinned: its job's first slot is one interval after
    the instant of scheduling.  Until then :meth:`next` and
    :meth:`next_fire_time` count from the instant they are given, and there is
    nothing for :meth:`last` and :meth:`count` to find.

    ``IntervalTrigger(seconds=60)`` equals ``IntervalTrigger(minutes=1)``.

    Attributes:
        start: The first slot; None while it is not pinned.
        end: No slot is later; a slot may fall on it.
    """

    kind: Literal["interval"] = "interval"
    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: int = 0
    milliseconds: int = 0
    start: datetime | None = None
    end: datetime | None = None
    exact: ClassVar[bool] = True

    def __init__(
        self,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        **data: Any,
    ) -> None:
        """Fire every so many weeks, days, hours … of elapsed time, summed.

        Args:
            weeks: Spans of 7 × 24 hours.
            days: Spans of 24 hours.
            hours: Hours.
            minutes: Minutes.
            seconds: Seconds.
            milliseconds: Milliseconds.
            start: The first slot, aware; None pins it at scheduling.
            end: The last instant that may be a slot, aware.
            **data: ``kind``, where it comes from data.

        Raises:
            TriggerError: The span is not a positive whole number of
                milliseconds, a bound is naive, or the end is before the start.
        """
        span = _whole(
            {
                "weeks": weeks,
                "days": days,
                "hours": hours,
                "minutes": minutes,
                "seconds": seconds,
                "milliseconds": milliseconds,
            }
        )
        first, final = read_instant(start, "start"), read_instant(end, "end")
        check_order(first, final)
        super().__init__(**span, start=first, end=final, **data)

    @cached_property
    def _step(self) -> int:
        total: int = sum(getattr(self, unit) * size for unit, size in _UNITS.items())
        return total * 1000

    @property
    def interval(self) -> timedelta:
        """The span between two slots."""
        return timedelta(microseconds=self._step)

    def describe(self) -> str:
        """Say how often it fires, and between which bounds."""
        parts = [(getattr(self, name), name) for name in _UNITS if getattr(self, name)]
        if len(parts) == 1 and parts[0][0] == 1:
            words = f"every {parts[0][1][:-1]}"
        else:
            words = "every " + " ".join(
                f"{number:,} {unit[:-1] if number == 1 else unit}"
                for number, unit in parts
            )
        if self.start is not None:
            words += f" from {stamp(self.start)}"
        return words if self.end is None else f"{words} until {stamp(self.end)}"

    def identity(self) -> tuple[object, ...]:
        """Return the span and the bounds, in whatever units they were given."""
        return (self._step, self.start, self.end)

    def needs_pin(self) -> bool:
        """Tell whether it has no start yet."""
        return self.start is None

    def anchored(self, instant: datetime) -> IntervalTrigger:
        """Return the copy whose first slot is one interval after ``instant``.

        Raises:
            TriggerError: ``instant`` is naive, or that slot is past the end.
        """
        super().anchored(instant)
        if self.start is not None:
            return self
        start = self._opening(micros(instant))
        if start > LAST_INSTANT:
            raise TriggerError(
                "interval",
                self.interval,
                "has its first slot after the year 9999",
                "choose a shorter interval, or a start",
            )
        if start > self._final():
            raise TriggerError(
                "end",
                None if self.end is None else self.end.isoformat(),
                f"is before the first slot, {stamp(moment(start))}",
                "choose a later end, a shorter interval, or a start",
            )
        return self.with_instant(start)

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the first slot later than ``after``, in constant time."""
        step = self._step
        start = anchor
        if start is None:
            start = self._opening(after) if self.start is None else micros(self.start)
        slot = start if after < start else after + step - (after - start) % step
        return slot if slot <= self._final() else None

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the latest slot up to ``until``, in constant time."""
        start = self._first(anchor)
        if start is None:
            return None
        limit = min(until, self._final())
        return None if limit < start else limit - (limit - start) % self._step

    def count(self, first: int, until: int, anchor: int | None = None) -> int:
        """Count the slots of ``first … until``, in constant time."""
        start = self._first(anchor)
        if start is None:
            return 0
        low, high = max(first, start), min(until, self._final())
        if high < low:
            return 0
        return (high - start) // self._step - (low - start - 1) // self._step

    def opens(self, anchor: int | None = None) -> int | None:
        """Return the start."""
        return self._first(anchor)

    def closes(self) -> int | None:
        """Return the end."""
        return None if self.end is None else micros(self.end)

    def own_instant(self) -> int | None:
        """Return the start, or None while it is not pinned."""
        return self._first(None)

    def rule(self) -> IntervalTrigger:
        """Return the copy without a start."""
        return self if self.start is None else self.with_instant(None)

    def with_instant(self, instant: int | None) -> IntervalTrigger:
        """Return the copy whose first slot is ``instant``; None: not pinned."""
        start = None if instant is None else moment(instant)
        return self._altered(start=start)

    def grid(self) -> Grid | None:
        """Return its slots as numbers; None: not pinned, or reckoned otherwise."""
        if self.start is None or type(self).next is not IntervalTrigger.next:
            return None
        return Grid(micros(self.start), self._step, self._final())

    def _opening(self, instant: int) -> int:
        """Return the first slot of a job that is scheduled at ``instant``."""
        return instant + self._step

    def _first(self, anchor: int | None) -> int | None:
        if anchor is not None or self.start is None:
            return anchor
        return micros(self.start)

    def _final(self) -> int:
        return LAST_INSTANT if self.end is None else micros(self.end)


def _whole(parts: dict[str, float]) -> dict[str, int]:
    """Check the parts; fractions are carried over to the largest fitting unit."""
    total = Fraction(0)
    for name, part in parts.items():
        if isinstance(part, bool) or not isinstance(part, int | float):
            raise TriggerError(name, part, "is not a number", f"write {name}=10")
        if part != part or part in (float("inf"), float("-inf")):
            raise TriggerError(name, part, "is not finite", f"write {name}=10")
        if part < 0:
            raise TriggerError(name, part, "is negative", f"write {name}=10")
        if part:
            # The digits that the user wrote, not the binary fraction next to them.
            plain = int(part) if isinstance(part, int) else float(part)
            total += Fraction(repr(plain)) * _UNITS[name]
    given = {name: value for name, value in parts.items() if value}
    field = next(iter(given), "interval")
    value: object = given[field] if len(given) == 1 else given
    if total <= 0:
        raise TriggerError(
            field,
            0,
            "an interval must be longer than nothing",
            "give at least one millisecond, such as seconds=10",
        )
    if total.denominator != 1:
        raise TriggerError(
            field,
            value,
            "is not a whole number of milliseconds",
            "round it to milliseconds",
        )
    if total > _LONGEST:
        raise TriggerError(field, value, "is too long", "stay below 8,000 years")
    if all(part == int(part) for part in parts.values()):
        return {name: int(part) for name, part in parts.items()}
    unit = next(name for name, size in _UNITS.items() if total % size == 0)
    return {unit: int(total) // _UNITS[unit]}
