"""The occurrences of a recurrence rule on the wall clock, ignorant of zones.

They are reckoned period by period (a year, a month, a week, a day or an hour; only
each ``interval``-th counts), and kept in blocks of periods that follow from their
number alone: so no question is dearer for being asked far from the start.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from calendar import isleap, monthrange
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property
from itertools import islice

from aiosched.triggers.recurrence import Rule

__all__ = ["RRuleTable"]

_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_FINAL_DAY = date.max.toordinal() - _EPOCH
_PERIODS = {"YEARLY": 4, "MONTHLY": 24, "WEEKLY": 64, "DAILY": 256, "HOURLY": 768}
_BLOCKS = 16
# Every combination of weekday and leap day has come up by then, but the rarest of
# daily rules; a refusal takes some milliseconds.
_LOOKS = {
    "YEARLY": 50,
    "MONTHLY": 400,
    "WEEKLY": 2000,
    "DAILY": 5000,
    "HOURLY": 5000,
}


class RRuleTable:
    """The matches of a rule from its first instant on; in local seconds."""

    def __init__(self, rule: Rule, start: datetime) -> None:
        """Take a rule and its first instant on the wall, naive, in whole seconds."""
        self._rule = rule
        self._date = start.date()
        self._clock = start.hour * 3600 + start.minute * 60 + start.second
        self._day = self._date.toordinal() - _EPOCH
        self._first = self._day * _DAY + self._clock
        self._week = self._day - (self._date.weekday() - rule.week_start) % 7
        self._size = _PERIODS[rule.frequency]
        self._blocks: dict[int, Sequence[int]] = {}
        implied = rule.any_day
        self._months = rule.months
        self._month_days = rule.month_days
        self._weekdays = rule.weekdays
        if implied and rule.frequency == "YEARLY":
            self._months = rule.months or frozenset({start.month})
            self._month_days = frozenset({start.day})
        elif implied and rule.frequency == "MONTHLY":
            self._month_days = frozenset({start.day})
        elif implied and rule.frequency == "WEEKLY":
            self._weekdays = frozenset({start.weekday()})
        hours = rule.hours or frozenset({start.hour})
        parts = sorted(
            minute * 60 + second
            for minute in rule.minutes or (start.minute,)
            for second in rule.seconds or (start.second,)
        )
        self._in_hour = parts
        self._in_day = [hour * 3600 + part for hour in sorted(hours) for part in parts]
        self._at_hours = rule.hours or frozenset(range(24))

    def ever_fires(self) -> bool:
        """Tell whether one of its first periods has an occurrence.

        These are 50 years, 400 months, 2,000 weeks or 5,000 days or hours; hours
        of one day that cannot match count once.
        """
        for number in islice(self._numbers(0), _LOOKS[self._rule.frequency]):
            if any(at >= self._first for at in self._period(number)):
                return self._limit is None or self.next_at(self._first) is not None
        return False

    def next_at(self, local: int) -> int | None:
        """Return the first match at or after ``local``."""
        local = max(local, self._first)
        block = self._block_of(local)
        while self._begins(block):
            found = self._matches(block)
            index = bisect_left(found, local)
            if index < len(found):
                final = self._final
                return found[index] if final is None or found[index] <= final else None
            block += 1
        return None

    def last_at(self, local: int) -> int | None:
        """Return the latest match at or before ``local``."""
        if self._final is not None:
            local = min(local, self._final)
        block = self._block_of(local) if local >= self._first else -1
        while block >= 0:
            found = self._matches(block)
            index = bisect_right(found, local)
            if index:
                return found[index - 1]
            block -= 1
        return None

    def matches(self, low: int, high: int) -> int:
        """Count the matches of ``low <= local < high``, one by one."""
        total = 0
        at = self.next_at(low)
        while at is not None and at < high:
            total += 1
            at = self.next_at(at + 1)
        return total

    @property
    def _limit(self) -> int | None:
        """The last local second that UNTIL leaves, where it is on the wall."""
        until = self._rule.until
        if until is None or self._rule.ends_in_utc:
            return None
        day = until.toordinal() - _EPOCH
        return day * _DAY + until.hour * 3600 + until.minute * 60 + until.second

    @cached_property
    def _final(self) -> int | None:
        """The last local second that may match; None: no end."""
        if self._rule.count is None:
            return self._limit
        left, block = self._rule.count, 0
        while self._begins(block):
            found = self._matches(block)
            if len(found) >= left:
                return found[left - 1]
            left -= len(found)
            block += 1
        return None

    # -- periods ---------------------------------------------------------------------

    def _begins(self, block: int) -> bool:
        """Tell whether a block begins within the calendar, and before the end."""
        begin = self._begin(block * self._size)
        if begin > _FINAL_DAY:
            return False
        limit = self._limit
        return limit is None or begin * _DAY <= limit

    def _begin(self, number: int) -> int:
        """Return the day on which a period begins, in days since 1970."""
        frequency, steps = self._rule.frequency, number * self._rule.interval
        if frequency == "DAILY":
            return self._day + steps
        if frequency == "WEEKLY":
            return self._week + steps * 7
        if frequency == "HOURLY":
            return self._day + (self._clock // 3600 + steps) // 24
        year, month = self._month_of(number)
        return _ordinal(year, month) if year <= 9999 else _FINAL_DAY + 1

    def _month_of(self, number: int) -> tuple[int, int]:
        """Return year and month with which a period of either begins."""
        steps = number * self._rule.interval
        if self._rule.frequency == "YEARLY":
            return self._date.year + steps, 1
        index = self._date.year * 12 + self._date.month - 1 + steps
        return index // 12, index % 12 + 1

    def _block_of(self, local: int) -> int:
        """Return the number of the block whose periods may have ``local``."""
        day = min(max(local // _DAY, self._day), _FINAL_DAY)
        frequency = self._rule.frequency
        if frequency == "DAILY":
            steps = day - self._day
        elif frequency == "WEEKLY":
            steps = (day - self._week) // 7
        elif frequency == "HOURLY":
            steps = local // 3600 - self._first // 3600
        else:
            where = date.fromordinal(day + _EPOCH)
            steps = where.year - self._date.year
            if frequency == "MONTHLY":
                steps = steps * 12 + where.month - self._date.month
        return max(steps, 0) // self._rule.interval // self._size

    def _numbers(self, first: int, behind: int | None = None) -> Iterator[int]:
        """Yield the numbers of periods, without the hours of days that do not match."""
        number = first
        hourly = self._rule.frequency == "HOURLY"
        while behind is None or number < behind:
            day = self._begin(number)
            if day > _FINAL_DAY:
                return
            if hourly and not self._has(day):
                hour = (day + 1 - self._day) * 24 - self._clock // 3600
                number = -(-hour // self._rule.interval)
                if behind is not None and number >= behind:
                    return
            yield number
            number += 1

    def _matches(self, block: int) -> Sequence[int]:
        """Return the matches of a block of periods, sorted."""
        found = self._blocks.get(block)
        if found is None:
            low, high = block * self._size, (block + 1) * self._size
            found = array("q")
            for number in self._numbers(low, high):
                found.extend(self._period(number))
            if block == 0:
                found = found[bisect_left(found, self._first) :]
            if len(self._blocks) >= _BLOCKS:
                self._blocks.pop(next(iter(self._blocks)))
            self._blocks[block] = found
        return found

    def _period(self, number: int) -> Sequence[int]:
        """Return the matches of one period, sorted."""
        begin = self._begin(number)
        frequency = self._rule.frequency
        if frequency == "HOURLY":
            hour = (self._clock // 3600 + number * self._rule.interval) % 24
            if hour not in self._at_hours or not self._has(begin):
                return ()
            base = begin * _DAY + hour * 3600
            return self._chosen([base + part for part in self._in_hour])
        if frequency == "DAILY":
            days = [begin] if self._has(begin) else []
        elif frequency == "WEEKLY":
            week = range(max(begin, 1 - _EPOCH), min(begin + 7, _FINAL_DAY + 1))
            days = [day for day in week if self._has(day)]
        else:
            year, month = self._month_of(number)
            months = range(1, 13) if frequency == "YEARLY" else (month,)
            days = [day for one in months for day in self._days_of(year, one)]
        return self._chosen([day * _DAY + at for day in days for at in self._in_day])

    def _chosen(self, found: list[int]) -> Sequence[int]:
        """Leave only the positions that the rule names, if it names any."""
        if not self._rule.positions:
            return found
        total = len(found)
        indices = {
            position - 1 if position > 0 else total + position
            for position in self._rule.positions
        }
        return [found[index] for index in sorted(indices) if 0 <= index < total]

    # -- days ------------------------------------------------------------------------

    def _days_of(self, year: int, month: int) -> list[int]:
        """Return the matching days of a month."""
        if self._months and month not in self._months:
            return []
        first = _ordinal(year, month)
        last = first + monthrange(year, month)[1]
        return [day for day in range(first, last) if self._has(day)]

    def _has(self, day: int) -> bool:
        """Tell whether a day matches all that the rule says of days."""
        where = date.fromordinal(day + _EPOCH)
        rule = self._rule
        if self._months and where.month not in self._months:
            return False
        if self._month_days:
            back = where.day - monthrange(where.year, where.month)[1] - 1
            if where.day not in self._month_days and back not in self._month_days:
                return False
        weekday = where.weekday()
        if (self._weekdays or rule.nth) and not (
            weekday in self._weekdays or self._is_nth(where)
        ):
            return False
        if rule.year_days:
            forth = day - _ordinal(where.year, 1) + 1
            back = forth - (366 if isleap(where.year) else 365) - 1
            if forth not in rule.year_days and back not in rule.year_days:
                return False
        return not rule.week_numbers or self._in_week(day, where.year)

    def _is_nth(self, where: date) -> bool:
        """Tell whether a date is a numbered weekday of its month or year."""
        if not self._rule.nth:
            return False
        weekday = where.weekday()
        if self._rule.frequency == "MONTHLY" or self._rule.months:
            place, length = where.day, monthrange(where.year, where.month)[1]
        else:
            place = where.timetuple().tm_yday
            length = 366 if isleap(where.year) else 365
        forth = (place - 1) // 7 + 1
        back = -((length - place) // 7 + 1)
        return (forth, weekday) in self._rule.nth or (back, weekday) in self._rule.nth

    def _in_week(self, day: int, year: int) -> bool:
        """Tell whether a day is in one of the numbered weeks."""
        for one in (year + 1, year, year - 1):
            opening = self._opening(one)
            if day < opening:
                continue
            total = (self._opening(one + 1) - opening) // 7
            week = (day - opening) // 7 + 1
            numbers = self._rule.week_numbers
            return week in numbers or week - total - 1 in numbers
        return False

    def _opening(self, year: int) -> int:
        """Return the first day of a year's week 1, the first with four of its days."""
        # Reckoned in a year 400 years away where the calendar has no such date.
        shift = 146_097 if year < 2 else -146_097 if year > 9998 else 0
        fourth = date(year + (400 if shift > 0 else -400 if shift else 0), 1, 4)
        back = timedelta(days=(fourth.weekday() - self._rule.week_start) % 7)
        return (fourth - back).toordinal() - _EPOCH - shift


def _ordinal(year: int, month: int) -> int:
    """Return the first day of a month, in days since 1970."""
    return date(year, month, 1).toordinal() - _EPOCH
