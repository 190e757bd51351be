"""The day table: which local seconds a cron expression matches.

The times of one day are the matching hours and, the same in each of them, the
matching seconds of an hour; the matching days of a month are a short tuple.
Everything else is division and halving, so no question costs more for a dense
schedule than for a sparse one, and a table costs little to make.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from calendar import isleap
from datetime import date
from functools import lru_cache

from aiosched.triggers.cronfields import CronFields, DayRule, Seconds, read_expression

__all__ = ["CronTable", "cron_table"]

_DAY = 86_400
_HOUR = 3600
_EPOCH = date(1970, 1, 1).toordinal()
_LENGTHS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FIRST_MONTH = 12
_LAST_MONTH = 9999 * 12 + 11
_REMEMBERED = 4096


@lru_cache(maxsize=1024)
def cron_table(
    expression: str,
    seconds: Seconds | None,
    day_or: bool,  # noqa: FBT001 - part of a cache key
) -> CronTable:
    """Return the table of an expression; all who share it share its memory.

    Raises:
        TriggerError: The expression cannot be read.
    """
    return CronTable(read_expression(expression, seconds), day_or=day_or)


class CronTable:
    """The matches of a cron expression on the wall clock, ignorant of zones."""

    __slots__ = (
        "_all_days",
        "_closing",
        "_day_or",
        "_hours",
        "_month",
        "_months",
        "_opening",
        "_rule",
        "_within",
        "fields",
    )

    def __init__(self, fields: CronFields, *, day_or: bool) -> None:
        """Tabulate ``fields``; ``day_or`` joins two restricted day fields."""
        self.fields: CronFields = fields
        self._rule = fields.day
        self._day_or = day_or
        self._hours = fields.hours
        self._within = _within(fields)
        self._opening = self._hours[0] * _HOUR + self._within[0]
        self._closing = self._hours[-1] * _HOUR + self._within[-1]
        self._all_days = (
            fields.day.any_day and fields.day.any_weekday and len(fields.months) == 12
        )
        self._months: dict[int, tuple[int, ...]] = {}
        self._month: tuple[int, int, int, tuple[int, ...]] = (0, 0, 0, ())

    def ever_fires(self) -> bool:
        """Tell whether any date of the calendar matches."""
        if self._rule.any_day:
            return True  # every weekday is at times the nth and the last of a month
        # Every kind of year (common or leap, by the weekday of its first day)
        # occurs in 28 years without an omitted leap day.
        return any(
            _month_days(self._rule, year, month, day_or=self._day_or)
            for month in self.fields.months
            for year in range(2000, 2028)
        )

    def next_at(self, local: int) -> int | None:
        """Return the first match at or after ``local``."""
        day, second = divmod(local, _DAY)
        if second > self._closing or not self._has(day):
            following = self._day_from(day + 1)
            return None if following is None else following * _DAY + self._opening
        hour, second = divmod(second, _HOUR)
        hours, within = self._hours, self._within
        index = bisect_left(hours, hour)
        if hours[index] == hour:
            if second <= within[-1]:
                return local - second + within[bisect_left(within, second)]
            index += 1
        return day * _DAY + hours[index] * _HOUR + within[0]

    def last_at(self, local: int) -> int | None:
        """Return the latest match at or before ``local``."""
        day, second = divmod(local, _DAY)
        if second < self._opening or not self._has(day):
            earlier = self._day_until(day - 1)
            return None if earlier is None else earlier * _DAY + self._closing
        hour, second = divmod(second, _HOUR)
        hours, within = self._hours, self._within
        index = bisect_right(hours, hour) - 1
        if hours[index] == hour:
            if second >= within[0]:
                return local - second + within[bisect_right(within, second) - 1]
            index -= 1
        return day * _DAY + hours[index] * _HOUR + within[-1]

    def matches(self, low: int, high: int) -> int:
        """Count the matches of ``low <= local < high``."""
        if high <= low:
            return 0
        first, early = divmod(low, _DAY)
        final, late = divmod(high, _DAY)
        total = self._days_between(first, final) * len(self._hours) * len(self._within)
        if early and self._has(first):
            total -= self._earlier(early)
        if late and self._has(final):
            total += self._earlier(late)
        return total

    def _earlier(self, second: int) -> int:
        """Count the times of a day that are earlier than a second of it."""
        hour, second = divmod(second, _HOUR)
        index = bisect_left(self._hours, hour)
        total = index * len(self._within)
        if index < len(self._hours) and self._hours[index] == hour:
            total += bisect_left(self._within, second)
        return total

    def _has(self, day: int) -> bool:
        if self._all_days:
            return True
        _, low, high, days = self._month
        if not low <= day < high:
            _, low, high, days = self._load(day)
        index = bisect_left(days, day)
        return index < len(days) and days[index] == day

    def _day_from(self, day: int) -> int | None:
        """Return the first matching day at or after ``day``."""
        if self._all_days:
            return day
        number, _, _, days = self._load(day)
        index = bisect_left(days, day)
        while index == len(days):
            number += 1
            if number > _LAST_MONTH:
                return None
            days, index = self._days_of(number), 0
        return days[index]

    def _day_until(self, day: int) -> int | None:
        """Return the latest matching day at or before ``day``."""
        if self._all_days:
            return day
        number, _, _, days = self._load(day)
        index = bisect_right(days, day)
        while index == 0:
            number -= 1
            if number < _FIRST_MONTH:
                return None
            days = self._days_of(number)
            index = len(days)
        return days[index - 1]

    def _days_between(self, low: int, high: int) -> int:
        """Count the matching days of ``low <= day < high``."""
        if self._all_days:
            return high - low
        first, _, _, days = self._load(low)
        final, _, _, others = self._load(high)
        total = bisect_left(others, high) - bisect_left(days, low)
        return total + sum(len(self._days_of(one)) for one in range(first, final))

    def _load(self, day: int) -> tuple[int, int, int, tuple[int, ...]]:
        """Return number, first day, day behind and matching days of a month."""
        month = self._month
        if month[1] <= day < month[2]:
            return month
        # Past the ends of the calendar the outermost month stands in; slots are
        # bounded elsewhere.
        ordinal = min(max(day + _EPOCH, 1), date.max.toordinal())
        where = date.fromordinal(ordinal)
        number = where.year * 12 + where.month - 1
        low = ordinal - where.day + 1 - _EPOCH
        high = low + _length(where.year, where.month)
        month = (number, low, high, self._days_of(number))
        self._month = month
        return month

    def _days_of(self, number: int) -> tuple[int, ...]:
        """Return the matching days of a month, as days since 1970."""
        year, month = divmod(number, 12)
        if month + 1 not in self.fields.months:
            return ()
        days = self._months.get(number)
        if days is None:
            base = date(year, month + 1, 1).toordinal() - _EPOCH - 1
            inside = _month_days(self._rule, year, month + 1, day_or=self._day_or)
            days = tuple(base + day for day in sorted(inside))
            if len(self._months) >= _REMEMBERED:
                self._months = {}
            self._months[number] = days
        return days


def _within(fields: CronFields) -> array[int]:
    """Return the matching seconds of an hour, sorted."""
    starts = [minute * 60 for minute in fields.minutes]
    return array("H", [start + second for start in starts for second in fields.seconds])


def _length(year: int, month: int) -> int:
    """Return the number of days of a month."""
    return 29 if month == 2 and isleap(year) else _LENGTHS[month]


def _month_days(rule: DayRule, year: int, month: int, *, day_or: bool) -> set[int]:
    """Return the matching days of a month."""
    length = _length(year, month)
    if rule.any_day and rule.any_weekday:
        return set(range(1, length + 1))
    opening = date(year, month, 1).toordinal() % 7
    if rule.any_day:
        return _by_weekday(rule, opening, length)
    if rule.any_weekday:
        return _by_day(rule, opening, length)
    by_day, by_weekday = (
        _by_day(rule, opening, length),
        _by_weekday(rule, opening, length),
    )
    return by_day | by_weekday if day_or else by_day & by_weekday


def _by_day(rule: DayRule, opening: int, length: int) -> set[int]:
    """Return the days that the field day of month matches."""
    found = {day for day in rule.days if day <= length}
    found |= {length - back for back in rule.before_last if back < length}
    found |= {_nearest_workday(day, opening, length) for day in rule.nearest}
    found |= _named_days(rule.day_nth, rule.day_last, opening, length)
    if rule.last_workday:
        weekday = (opening + length - 1) % 7
        found.add(length - {6: 1, 0: 2}.get(weekday, 0))
    return found


def _nearest_workday(day: int, opening: int, length: int) -> int:
    """Return the Monday to Friday nearest to a day, within its month."""
    day = min(day, length)
    weekday = (opening + day - 1) % 7
    if weekday == 6:
        return day - 1 if day > 1 else day + 2
    if weekday == 0:
        return day + 1 if day < length else day - 2
    return day


def _by_weekday(rule: DayRule, opening: int, length: int) -> set[int]:
    """Return the days that the field day of week matches."""
    found: set[int] = set()
    for weekday in rule.weekdays:
        found.update(range((weekday - opening) % 7 + 1, length + 1, 7))
    return found | _named_days(rule.nth, rule.last_weekdays, opening, length)


def _named_days(
    nth: frozenset[tuple[int, int]], last: frozenset[int], opening: int, length: int
) -> set[int]:
    """Return the nth and the last such weekdays of a month."""
    found = set()
    for weekday, number in nth:
        day = (weekday - opening) % 7 + 1 + (number - 1) * 7
        if day <= length:
            found.add(day)
    for weekday in last:
        final = (opening + length - 1) % 7
        found.add(length - (final - weekday) % 7)
    return found
