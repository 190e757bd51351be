"""Every so many years, months, weeks or days, at a wall time."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import Any, ClassVar, Literal

from aiosched.errors import TriggerError
from aiosched.instants import SECOND, moment
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT, Trigger
from aiosched.triggers.inputs import (
    clock_seconds,
    clock_text,
    is_whole,
    load_zone,
    read_date,
    zone_name,
)
from aiosched.triggers.localdays import day_number, local_days
from aiosched.triggers.walltime import Fold, Gap, WallSchedule

__all__ = ["CalendarIntervalTrigger"]

MonthEnd = Literal["skip", "clamp"]

_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_FINAL = date(9999, 12, 30).toordinal() - _EPOCH
_BEYOND = 2 * _FINAL
_MEAN_MONTH = 146_097 / 4_800
_MOST = {"years": 8_000, "months": 96_000, "weeks": 400_000, "days": 2_900_000}


class CalendarIntervalTrigger(Trigger, frozen=True):
    """Fires at a wall time every so many years, months, weeks or days.

    The dates are counted from ``start``: the k-th is ``start`` plus k times the
    years and months, plus k times the weeks and days.  Clock changes are treated
    as for a :class:`~aiosched.CronTrigger` with a fixed time: one fire for each
    date, at the end of a gap, in the first pass of a fold; a date that the zone
    leaves out has none.

    Without a start it is not pinned: its dates are counted from the date of
    scheduling, in its zone.

    Attributes:
        at: Time of day, HH:MM or HH:MM:SS.
        tz: Name of the zone.
        start: The first date; None while it is not pinned.
        end: The last date; a slot may fall on it.
        month_end: What happens where the month is too short for the day of
            ``start``: ``"skip"`` leaves it out, ``"clamp"`` takes its last day.
        gap: As for a cron trigger; None means ``"next"``.
        fold: As for a cron trigger; None means ``"first"``.
    """

    kind: Literal["calendar"] = "calendar"
    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    at: str = "00:00"
    tz: str = "UTC"
    start: date | None = None
    end: date | None = None
    month_end: MonthEnd = "skip"
    gap: Gap | None = None
    fold: Fold | None = None
    exact: ClassVar[bool] = True

    def __init__(
        self,
        *,
        years: int = 0,
        months: int = 0,
        weeks: int = 0,
        days: int = 0,
        at: str | time = "00:00",
        tz: str = "UTC",
        start: date | str | None = None,
        end: date | str | None = None,
        month_end: MonthEnd = "skip",
        gap: Gap | None = None,
        fold: Fold | None = None,
        **data: Any,
    ) -> None:
        """Fire every so many years, months, weeks and days, summed.

        Args:
            years: Calendar years.
            months: Calendar months.
            weeks: Weeks.
            days: Days.
            at: Time of day on the wall.
            tz: Name of a zone of the tz database.
            start: The first date; None takes the date of scheduling.
            end: The last date, included.
            month_end: ``"skip"`` or ``"clamp"``.
            gap: What to do about times that a clock change leaves out.
            fold: What to do about times that a clock change repeats.
            **data: ``kind``, where it comes from data.

        Raises:
            TriggerError: Nothing or a negative number is counted, the time or
                zone is not one, or the end is before the start.
        """
        parts = {"years": years, "months": months, "weeks": weeks, "days": days}
        _check(parts)
        first, final = read_date(start, "start"), read_date(end, "end")
        if first is not None and final is not None and final < first:
            raise TriggerError(
                "end",
                final.isoformat(),
                f"is before the start, {first}",
                "choose an end that is not before the start",
            )
        if isinstance(at, time):
            at = at.isoformat()
        super().__init__(
            **parts,
            at=clock_text(clock_seconds(at)),
            tz=zone_name(tz),
            start=first,
            end=final,
            month_end=month_end,
            gap=gap,
            fold=fold,
            **data,
        )

    def identity(self) -> tuple[object, ...]:
        """Return its meaning, in whatever units it was given."""
        return (
            self.years * 12 + self.months,
            self.weeks * 7 + self.days,
            *(self.at, self.tz, self.start, self.end),
            *(self.month_end, self.gap, self.fold),
        )

    def describe(self) -> str:
        """Say how often and when it fires, and where."""
        parts = [(getattr(self, unit), unit) for unit in _MOST if getattr(self, unit)]
        if len(parts) == 1 and parts[0][0] == 1:
            words = f"every {parts[0][1][:-1]}"
        else:
            words = "every " + " ".join(
                f"{number:,} {unit[:-1] if number == 1 else unit}"
                for number, unit in parts
            )
        words += f" at {self.at}, {self.tz}"
        if self.start is not None:
            words += f", from {self.start}"
        return words if self.end is None else f"{words}, until {self.end}"

    def needs_pin(self) -> bool:
        """Tell whether it has no start yet."""
        return self.start is None

    def anchored(self, instant: datetime) -> CalendarIntervalTrigger:
        """Return the copy that counts from the date of ``instant`` in its zone.

        Raises:
            TriggerError: ``instant`` is naive, or that date is past the end.
        """
        super().anchored(instant)
        if self.start is not None:
            return self
        start = instant.astimezone(UTC).astimezone(load_zone(self.tz)).date()
        if self.end is not None and start > self.end:
            raise TriggerError(
                "end",
                self.end.isoformat(),
                f"is before the first date, {start}",
                "choose a later end",
            )
        return self._from(start)

    def next(self, after: int, anchor: int | None = None) -> int | None:
        """Return the first slot later than ``after``; ``anchor`` has no part in it."""
        if self.start is None:
            if not FIRST_INSTANT <= after <= LAST_INSTANT:
                return None
            start = moment(after).astimezone(load_zone(self.tz)).date()
            if self.end is not None and start > self.end:
                return None
            return self._from(start).next(after, anchor)
        slot = self._schedule.next(after // SECOND)
        return None if slot is None else slot * SECOND

    def last(self, until: int, anchor: int | None = None) -> int | None:
        """Return the latest slot up to ``until``; ``anchor`` has no part in it."""
        del anchor
        if self.start is None:
            return None
        slot = self._schedule.last(until // SECOND)
        return None if slot is None else slot * SECOND

    def count(self, first: int, until: int, anchor: int | None = None) -> int:
        """Count the slots of ``first … until``, by arithmetic."""
        del anchor
        if self.start is None:
            return 0
        return self._schedule.count(-(-first // SECOND), until // SECOND)

    def opens(self, anchor: int | None = None) -> int | None:
        """Return the first instant of the start date; ``anchor`` has no part in it."""
        del anchor
        if self.start is None:
            return None
        return local_days(self.tz).opens(day_number(self.start))

    def closes(self) -> int | None:
        """Return the last instant of the end date."""
        if self.end is None:
            return None
        return local_days(self.tz).opens(day_number(self.end) + 1) - 1

    def _from(self, start: date) -> CalendarIntervalTrigger:
        fields: dict[str, Any]
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        fields["start"] = start
        return type(self)(**fields)

    @cached_property
    def _schedule(self) -> WallSchedule[CalendarTable]:
        table = CalendarTable(self)
        return WallSchedule(table, self.tz, self.gap or "next", self.fold or "first")


class CalendarTable:
    """The dates of a pinned calendar trigger at its wall time, ignorant of zones."""

    __slots__ = ("_at", "_clamp", "_days", "_end", "_months", "_period", "_start")

    def __init__(self, trigger: CalendarIntervalTrigger) -> None:
        """Take the numbers of ``trigger``, which is pinned."""
        start = trigger.start
        assert start is not None  # noqa: S101 - an unpinned one has no table
        self._start = start
        self._months = trigger.years * 12 + trigger.months
        self._days = trigger.weeks * 7 + trigger.days
        self._period = self._months * _MEAN_MONTH + self._days
        self._clamp = trigger.month_end == "clamp" or not self._months
        self._at = clock_seconds(trigger.at)
        end = trigger.end
        self._end = _FINAL if end is None else min(end.toordinal() - _EPOCH, _FINAL)

    def next_at(self, local: int) -> int | None:
        """Return the first match at or after ``local``."""
        number = self._first_from(-((self._at - local) // _DAY))
        while (day := self._date(number)) <= self._end:
            if self._exists(number):
                return day * _DAY + self._at
            number += 1
        return None

    def last_at(self, local: int) -> int | None:
        """Return the latest match at or before ``local``."""
        number = self._first_from(min((local - self._at) // _DAY, self._end) + 1) - 1
        while number >= 0:
            if self._exists(number):
                return self._date(number) * _DAY + self._at
            number -= 1
        return None

    def matches(self, low: int, high: int) -> int:
        """Count the matches of ``low <= local < high``."""
        first = self._first_from(-((self._at - low) // _DAY))
        behind = -((self._at - high) // _DAY)
        final = self._first_from(min(behind, self._end + 1))
        if self._clamp or self._start.day <= 28:
            return max(final - first, 0)
        return sum(self._exists(number) for number in range(first, final))

    def _first_from(self, day: int) -> int:
        """Return the number of the first date at or after ``day``."""
        elapsed = day - (self._start.toordinal() - _EPOCH)
        number = max(int(elapsed / self._period) - 1, 0)
        while number > 0 and self._date(number - 1) >= day:
            number -= 1
        while self._date(number) < day:
            number += 1
        return number

    def _date(self, number: int) -> int:
        """Return a date, in days since 1970; a day too many is clamped."""
        if not self._months:
            return self._start.toordinal() - _EPOCH + number * self._days
        month = self._start.year * 12 + self._start.month - 1 + number * self._months
        year = month // 12
        if year > 9999:
            return _BEYOND + number
        first = date(year, month % 12 + 1, 1)
        day = min(self._start.day, monthrange(year, first.month)[1])
        return first.toordinal() - _EPOCH + day - 1 + number * self._days

    def _exists(self, number: int) -> bool:
        """Tell whether a date counts: whether its month has the day."""
        if self._clamp:
            return True
        month = self._start.year * 12 + self._start.month - 1 + number * self._months
        return self._start.day <= monthrange(month // 12, month % 12 + 1)[1]


def _check(parts: dict[str, int]) -> None:
    """Refuse numbers that are not whole, negative, huge, or all zero."""
    for name, value in parts.items():
        if not is_whole(value):
            raise TriggerError(name, value, "is not a whole number", f"write {name}=1")
        if not 0 <= value <= _MOST[name]:
            raise TriggerError(
                name, value, "is out of range", f"write 1 to {_MOST[name]:,}"
            )
    if not any(parts.values()):
        raise TriggerError(
            "interval",
            0,
            "an interval must be longer than nothing",
            "give at least one day, such as days=1",
        )
