"""Intervals with a twist: on a mark of the clock, or of varying length."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Literal

from aiosched.errors import TriggerError
from aiosched.instants import micros, moment
from aiosched.triggers.base import LAST_INSTANT, Trigger
from aiosched.triggers.inputs import check_order, is_whole, read_instant, stamp
from aiosched.triggers.interval import IntervalTrigger

__all__ = ["AlignedIntervalTrigger", "RandomIntervalTrigger", "mark_seconds"]

_MARK = re.compile(r"(?:([0-5]\d))?:([0-5]\d)", re.ASCII)
_MASK = (1 << 64) - 1


def mark_seconds(text: object, unit: str) -> int:
    """Read where in an hour (MM:SS or :MM) or a minute (:SS) something happens.

    Raises:
        TriggerError: It has another form.
    """
    match = _MARK.fullmatch(text) if isinstance(text, str) else None
    if match is not None and unit == "hours":
        front, back = match.groups()
        return int(back) * 60 if front is None else int(front) * 60 + int(back)
    if match is not None and unit == "minutes" and match[1] is None:
        return int(match[2])
    form = '"MM:SS" or ":MM"' if unit == "hours" else '":SS"'
    raise TriggerError("at", text, f"is no mark for {unit}", f"write {form}")


class AlignedIntervalTrigger(IntervalTrigger, frozen=True):
    """An interval of hours or minutes whose slots lie on a mark of the UTC clock.

    It differs from an :class:`~aiosched.IntervalTrigger` in how it is pinned: the
    first slot is the one on the mark within an interval of scheduling.

    Attributes:
        mark: Seconds after the full hour (for ``hours``) or minute.
    """

    kind: Literal["aligned"] = "aligned"  # type: ignore[assignment]
    mark: int

    def __init__(self, *, mark: int, **data: Any) -> None:
        """Put the slots on the mark; the rest is as for IntervalTrigger.

        Raises:
            TriggerError: The interval is not one of hours or minutes alone, or
                the mark is not within the unit.
        """
        units = [name for name in ("hours", "minutes") if data.get(name)]
        others = ("weeks", "days", "seconds", "milliseconds")
        if len(units) != 1 or any(data.get(name) for name in others):
            raise TriggerError(
                "mark", mark, "needs an interval of hours or of minutes", "give one"
            )
        size = 3600 if units == ["hours"] else 60
        if not is_whole(mark) or not 0 <= mark < size:
            raise TriggerError(
                "mark", mark, "is out of range", f"write 0 to {size - 1}"
            )
        super().__init__(mark=mark, **data)

    def describe(self) -> str:
        """Say how often it fires, and on which mark."""
        minutes, seconds = divmod(self.mark, 60)
        unit = "hour" if self.hours else "minute"
        mark = f"{minutes:02}:{seconds:02}" if self.hours else f":{seconds:02}"
        return f"{super().describe()}, at {mark} of the {unit}"

    def identity(self) -> tuple[object, ...]:
        """Return span, bounds and mark."""
        return (*super().identity(), self.hours > 0, self.mark)

    def on_mark(self, first: int) -> int:
        """Return the first instant on the mark that is not earlier than ``first``."""
        unit = (3600 if self.hours else 60) * 1_000_000
        slot = first - first % unit + self.mark * 1_000_000
        return slot + unit if slot < first else slot

    def _opening(self, instant: int) -> int:
        unit = (3600 if self.hours else 60) * 1_000_000
        later = instant + self._step
        slot = later - later % unit + self.mark * 1_000_000
        return slot - self._step if slot > later else slot


class RandomIntervalTrigger(Trigger, frozen=True):
    """Fires at intervals that vary between two lengths, both included.

    The k-th slot is ``start`` plus k times the middle length, moved by up to half
    of the range.  How far is drawn from start and k alone, so every peer draws the
    same, nothing drifts, and any slot is found by arithmetic.  The shortest and
    longest intervals are rarer than the middle ones.

    Attributes:
        low: The shortest interval, in units.
        high: The longest interval, in units.
        unit: ``"seconds"``, ``"minutes"``, ``"hours"``, ``"days"`` or ``"weeks"``.
        start: The first slot; None while it is not pinned.
        end: No slot is later.
    """

    kind: Literal["random"] = "random"
    low: int
    high: int
    unit: Literal["seconds", "minutes", "hours", "days", "weeks"]
    start: datetime | None = None
    end: datetime | None = None
    exact: ClassVar[bool] = True

    def __init__(
        self,
        *,
        low: int,
        high: int,
        unit: Literal["seconds", "minutes", "hours", "days", "weeks"],
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        **data: Any,
    ) -> None:
        """Vary between ``low`` and ``high`` units.

        Raises:
            TriggerError: A length is not a positive whole number, ``high`` is not
                above ``low``, a bound is naive, or the end is before the start.
        """
        for name, value in (("low", low), ("high", high)):
            if not is_whole(value) or value < 1:
                raise TriggerError(
                    name, value, "is not a positive whole number", "write 1 or more"
                )
        if high <= low or high > 1_000_000_000:
            raise TriggerError(
                "high", high, f"is not above {low}", "write every(low).to(high)"
            )
        first, final = read_instant(start, "start"), read_instant(end, "end")
        check_order(first, final)
        super().__init__(low=low, high=high, unit=unit, start=first, end=final, **data)

    def describe(self) -> str:
        """Say how often it fires, and between which bounds."""
        words = f"every {self.low:,} to {self.high:,} {self.unit}"
        if self.start is not None:
            words += f" from {stamp(self.start)}"
        return words if self.end is None else f"{words} until {stamp(self.end)}"

    def needs_pin(self) -> bool:
        """Tell whether it has no start yet."""
        return self.start is None

    def anchored(self, instant: datetime) -> RandomIntervalTrigger:
        """Return the copy that starts at random within ``low … high`` after it.

        Raises:
            TriggerError: ``instant`` is naive, or that is past the end.
        """
        super().anchored(instant)
        if self.start is not None:
            return self
        start = self._opening(micros(instant))
        if start > LAST_INSTANT:
            raise TriggerError(
                "interval",
                self.describe(),
                "has its first slot after the year 9999",
                "choose a shorter interval, or a start",
            )
        if start > self._final:
            raise TriggerError(
                "end",
                None if self.end is None else self.end.isoformat(),
                f"is before the first slot, {stamp(moment(start))}",
                "choose a later end",
            )
        return self._altered(start=moment(start))

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the first slot later than ``after``; ``anchor`` has no part in it."""
        del anchor
        if self.start is None:
            slot = self._opening(after)
        else:
            slot = self._slot(self._upto(after) + 1)
        return slot if slot <= self._final else None

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the latest slot up to ``until``; ``anchor`` has no part in it."""
        del anchor
        if self.start is None:
            return None
        number = self._upto(min(until, self._final))
        return None if number < 0 else self._slot(number)

    def count(self, first: int, until: int, anchor: int | None = None) -> int:
        """Count the slots of ``first … until``, by arithmetic."""
        del anchor
        if self.start is None:
            return 0
        final = self._upto(min(until, self._final))
        return max(final - self._upto(first - 1), 0)

    def opens(self, anchor: int | None = None) -> int | None:
        """Return the start; ``anchor`` has no part in it."""
        del anchor
        return None if self.start is None else micros(self.start)

    def closes(self) -> int | None:
        """Return the end."""
        return None if self.end is None else micros(self.end)

    @cached_property
    def _final(self) -> int:
        return LAST_INSTANT if self.end is None else micros(self.end)

    @property
    def _half(self) -> int:
        """Half a unit, in microseconds: what slots are moved by."""
        size = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
        return size.get(self.unit, 604_800) * 500_000

    @property
    def _begin(self) -> int:
        return 0 if self.start is None else micros(self.start)

    def _opening(self, instant: int) -> int:
        units = self.low + _draw(instant, 0) % (self.high - self.low + 1)
        return instant + units * 2 * self._half

    def _slot(self, number: int) -> int:
        begin, half = self._begin, self._half
        spread = self.high - self.low + 1
        moved = _draw(begin, number) % spread - _draw(begin, 0) % spread
        return begin + (number * (self.low + self.high) + moved) * half

    def _upto(self, until: int) -> int:
        """Return the number of the latest slot up to ``until``; -1 for none."""
        middle = (self.low + self.high) * self._half
        number = max((until - self._begin) // middle + 1, -1)
        while number >= 0 and self._slot(number) > until:
            number -= 1
        return number


def _draw(seed: int, number: int) -> int:
    """Mix two numbers into 64 bits that look random (splitmix64)."""
    mixed = (seed + (number + 1) * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)
