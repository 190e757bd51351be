"""The days of a zone: which one an instant belongs to, and where each begins.

The wall clock of a zone may be put back over midnight, so that a date comes
twice.  Days are made whole here by one rule: a day begins when the wall clock
first reaches it, and lasts until it first reaches the next one.  So days never
overlap, rise with time, and a date that the zone leaves out is a day without a
single instant.

Instants are microseconds since 1970 in UTC, wall times are microseconds since
1970-01-01T00:00 on the wall, days are counted from 1970-01-01.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from aiosched.instants import DAY, SECOND, moment
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT
from aiosched.triggers.inputs import load_zone

__all__ = ["LocalDays", "date_of", "day_number", "local_days"]

_ZERO = date(1970, 1, 1).toordinal()
_WALL_ZERO = datetime(1970, 1, 1)  # noqa: DTZ001 - a reading of a wall clock
_MICROSECOND = timedelta(microseconds=1)
# Wall times stay on days that every zone can show.
_FIRST_WALL = (date(1, 1, 2).toordinal() - _ZERO) * DAY
_BEYOND_WALL = (date(9999, 12, 31).toordinal() - _ZERO) * DAY
_STEADY = frozenset({"UTC", "Etc/UTC"})


def day_number(value: date) -> int:
    """Return the days from 1970-01-01 to a date."""
    return value.toordinal() - _ZERO


def date_of(day: int) -> date:
    """Return the date of a day, which must be one of the years 1 to 9999."""
    return date.fromordinal(day + _ZERO)


class LocalDays:
    """The days of one zone."""

    __slots__ = ("_steady", "name", "zone")

    def __init__(self, name: str) -> None:
        """Take the zone of that name.

        Raises:
            TriggerError: The tz database does not have it.
        """
        self.name: str = name
        self.zone: ZoneInfo = load_zone(name)
        self._steady = name in _STEADY

    def day(self, instant: int) -> int:
        """Return the day that ``instant`` belongs to."""
        day = self.wall(instant) // DAY
        while self.opens(day + 1) <= instant:  # the clock was put back over midnight
            day += 1
        return day

    def opens(self, day: int) -> int:
        """Return the first instant of a day, or of the next if it has none."""
        return day * DAY if self._steady else _opens(self.name, day)

    def has(self, day: int) -> bool:
        """Tell whether the zone has that day at all."""
        return self.opens(day) < self.opens(day + 1)

    def wall(self, instant: int) -> int:
        """Return what the wall clock shows."""
        if self._steady:
            return instant
        local = moment(instant).astimezone(self.zone).replace(tzinfo=None)
        wall = (local - _WALL_ZERO) // _MICROSECOND
        return min(max(wall, _FIRST_WALL), _BEYOND_WALL - 1)

    def repeats(self, instant: int) -> int | None:
        """Return when the second pass of a fold began, if ``instant`` is in one."""
        local = moment(instant).astimezone(self.zone)
        if not local.fold:
            return None
        before, after = local.replace(fold=0).utcoffset(), local.utcoffset()
        assert before is not None  # noqa: S101 - it is aware
        assert after is not None  # noqa: S101 - it is aware
        twice = (before - after) // _MICROSECOND
        return self._turn(instant - twice, instant)

    def reaches(self, wall: int) -> int:
        """Return the first instant at which the wall clock shows ``wall`` or more.

        In a gap this is the gap's end, in a fold it is in the first pass.
        """
        if self._steady:
            return wall
        if wall <= _FIRST_WALL:
            return FIRST_INSTANT
        if wall >= _BEYOND_WALL:
            return LAST_INSTANT + 1
        local = _WALL_ZERO + timedelta(microseconds=wall)
        before = _offset(local, self.zone)
        after = _offset(local.replace(fold=1), self.zone)
        if after > before:
            return self._turn(wall - after, wall - before)
        return max(wall - before, FIRST_INSTANT)

    def _turn(self, low: int, high: int) -> int:
        """Find the clock change of ``low < at <= high``, by halving."""
        left, right = low // SECOND, high // SECOND
        before = moment(left * SECOND).astimezone(self.zone).utcoffset()
        while right - left > 1:
            middle = (left + right) // 2
            if moment(middle * SECOND).astimezone(self.zone).utcoffset() == before:
                left = middle
            else:
                right = middle
        return right * SECOND


def _offset(local: datetime, zone: ZoneInfo) -> int:
    """Return what a wall time is ahead of UTC, in microseconds."""
    offset = local.replace(tzinfo=zone).utcoffset()
    assert offset is not None  # noqa: S101 - it is aware
    return offset // _MICROSECOND


@lru_cache(maxsize=16_384)
def _opens(name: str, day: int) -> int:
    return local_days(name).reaches(day * DAY)


@lru_cache(maxsize=1024)
def local_days(name: str) -> LocalDays:
    """Return the days of the zone of that name.

    Raises:
        TriggerError: The tz database does not have it.
    """
    return LocalDays(name)
