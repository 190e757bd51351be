"""Sets of days: dates, ranges, days of the year, weekdays.

A set is written as texts, in one form for each day, so that equal sets are
written alike: ``2030-12-25`` (a date), ``2030-12-24/2031-01-02`` (a range, both
ends included), ``12-25`` (each year), ``sat`` (each week).  Days are counted from
1970-01-01; zones play no part here (see :mod:`aiosched.triggers.localdays`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date, datetime
from functools import lru_cache

from aiosched.errors import TriggerError
from aiosched.triggers.base import LOOK_LIMIT, Trigger
from aiosched.triggers.inputs import MONTH_NAMES
from aiosched.triggers.localdays import date_of, day_number

__all__ = ["MOST_DAYS", "DaySet", "day_set", "read_exclusions"]

MOST_DAYS = 10_000
"""How many dates, ranges and names one set may be given."""

_FIELD = "excluding"
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NAMES = (
    "Mondays",
    "Tuesdays",
    "Wednesdays",
    "Thursdays",
    "Fridays",
    "Saturdays",
    "Sundays",
)
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_YEARLY = re.compile(r"(\d{2})-(\d{2})", re.ASCII)
_SAID = 6
_FORMS = (
    'give dates ("2030-12-25"), ranges ("2030-12-24/2031-01-02"), days of the year '
    '("12-25", "12-24/01-01"), weekdays ("sat", "sat-sun") or triggers'
)
# 1970-01-01 was a Thursday.
_FIRST_WEEKDAY = 3
_FIRST_DAY = day_number(date.min)
_LAST_DAY = day_number(date.max)
# 29 February comes after eight years at the latest.
_YEARS = 9


class DaySet:
    """A set of days that is asked often; immutable."""

    __slots__ = ("_final", "_firsts", "_lasts", "_ranges", "_weekdays", "_yearly")

    def __init__(self, days: Iterable[str]) -> None:
        """Read texts in the form that :func:`read_exclusions` gives them."""
        ranges: list[tuple[int, int]] = []
        yearly: set[tuple[int, int]] = set()
        weekdays: set[int] = set()
        for text in days:
            if text in _WEEK:
                weekdays.add(_WEEK.index(text))
            elif found := _YEARLY.fullmatch(text):
                yearly.add((int(found[1]), int(found[2])))
            else:
                first, _, last = text.partition("/")
                low = day_number(date.fromisoformat(first))
                high = day_number(date.fromisoformat(last)) if last else low
                ranges.append((low, high))
        self._ranges = tuple(sorted(ranges))
        self._firsts = [low for low, _ in self._ranges]
        self._lasts = [high for _, high in self._ranges]
        self._yearly = tuple(sorted(yearly))
        self._weekdays = frozenset(weekdays)

    def __contains__(self, day: int) -> bool:
        if not _FIRST_DAY <= day <= _LAST_DAY:
            return False
        if (day + _FIRST_WEEKDAY) % 7 in self._weekdays:
            return True
        if self._yearly:
            on = date_of(day)
            if (on.month, on.day) in self._yearly:
                return True
        place = bisect_right(self._firsts, day) - 1
        return place >= 0 and day <= self._lasts[place]

    @property
    def last_range(self) -> int | None:
        """The last day of the last date or range; None if it has none."""
        return self._lasts[-1] if self._lasts else None

    def next_from(self, day: int) -> int | None:
        """Return the first day of the set that is ``day`` or later."""
        if day in self:
            return day
        found: list[int] = []
        if self._weekdays:
            weekday = (day + _FIRST_WEEKDAY) % 7
            found.append(day + min((one - weekday) % 7 for one in self._weekdays))
        place = bisect_right(self._firsts, day)
        if place < len(self._firsts):
            found.append(self._firsts[place])
        if self._yearly and _FIRST_DAY <= day <= _LAST_DAY:
            found += self._next_yearly(date_of(day))
        return min(found, default=None)

    def _next_yearly(self, on: date) -> list[int]:
        """Return the first of the yearly days from a date on, if there is one."""
        place = bisect_right(self._yearly, (on.month, on.day))
        for year in range(on.year, min(on.year + _YEARS, date.max.year + 1)):
            for month, day in self._yearly[place:]:
                with suppress(ValueError):  # not a leap year
                    return [day_number(date(year, month, day))]
            place = 0
        return []

    def run(self, day: int, step: int) -> int:
        """Follow days of the set without a gap, and return the last.

        Args:
            day: A day of the set.
            step: 1 to go forward, -1 to go back.

        Returns:
            The last day, or the one that is reached within 10,000 steps.
        """
        for _ in range(LOOK_LIMIT):
            place = bisect_right(self._firsts, day) - 1
            if place >= 0 and day <= self._lasts[place]:
                day = (self._lasts if step > 0 else self._firsts)[place]
            if day + step not in self:
                break
            day += step
        return day

    def every_day(self) -> bool:
        """Tell whether every day of the week, or of the year, is in the set."""
        return len(self._weekdays) == len(_WEEK) or len(self._yearly) == sum(_LENGTHS)

    def words(self) -> list[str]:
        """Say in English which days these are."""
        words = [_NAMES[day] for day in sorted(self._weekdays)]
        words += [f"{day} {MONTH_NAMES[month - 1]}" for month, day in self._yearly]
        for low, high in self._ranges:
            first, last = date_of(low), date_of(high)
            words.append(f"{first}" if low == high else f"{first} to {last}")
        if len(words) > _SAID:
            words[_SAID:] = [f"{len(words) - _SAID:,} more"]
        return words


@lru_cache(maxsize=1024)
def day_set(days: tuple[str, ...]) -> DaySet:
    """Return the set that all equal triggers share."""
    return DaySet(days)


def read_exclusions(what: object) -> tuple[tuple[str, ...], list[Trigger]]:
    """Read what users exclude.

    Args:
        what: A date, a text, a pair of dates or of days of the year (a tuple: a
            range), a trigger, or an iterable of these, however nested.

    Returns:
        The days in their normal form, and the triggers as they were given.

    Raises:
        TriggerError: Something is none of these, a range runs backwards, or there
            are more than 10,000 of them.
    """
    days = _Reading()
    triggers: list[Trigger] = []
    open_: list[Iterator[object]] = [iter((what,))]
    number = -1  # the list itself is none of them
    while open_:
        one = next(open_[-1], _END)
        number += one is not _END
        if number > MOST_DAYS:
            raise TriggerError(
                _FIELD,
                what,
                f"is more than {MOST_DAYS:,} exclusions",
                "give ranges, weekdays or a trigger instead of single days",
            )
        if one is _END:
            open_.pop()
        elif isinstance(one, Trigger):
            triggers.append(one)
        elif not days.take(one):
            if not isinstance(one, Iterable) or isinstance(one, bytes):
                raise TriggerError(_FIELD, one, "is neither day nor trigger", _FORMS)
            open_.append(iter(one))
    return days.normal(), triggers


_END = object()


class _Reading:
    """The days that have been read so far."""

    def __init__(self) -> None:
        self._weekdays: set[int] = set()
        self._yearly: set[tuple[int, int]] = set()
        self._ranges: list[tuple[date, date]] = []

    def take(self, value: object) -> bool:
        """Take a day or a range; False: it is neither, and may be an iterable.

        Raises:
            TriggerError: It is written like a day, and is none.
        """
        if isinstance(value, datetime):
            raise TriggerError(
                _FIELD,
                value,
                "is an instant, and days are excluded",
                f"give its date, {value.date().isoformat()!r}, or a DateTrigger",
            )
        if isinstance(value, date):
            self._ranges.append((value, value))
        elif isinstance(value, str):
            self._read(value)
        elif isinstance(value, tuple) and len(value) == 2:
            first, last = map(_as_date, value)
            if first is not None and last is not None:
                self._add(first, last, value)
            elif all(map(_is_yearly, value)):
                self._read("/".join(value))
            else:
                return False
        else:
            return False
        return True

    def _read(self, text: str) -> None:
        word = text.strip().lower()
        first, slash, last = (part.strip() for part in word.partition("/"))
        # A week of the ISO calendar is written with a capital W.
        low, high = _as_date(first.upper()), _as_date(last.upper())
        found, until = _YEARLY.fullmatch(first), _YEARLY.fullmatch(last)
        if found and (until or not slash):
            opening = _yearly(int(found[1]), int(found[2]), text)
            ending = _yearly(int(until[1]), int(until[2]), text) if until else opening
            self._yearly.update(_of_the_year(opening, ending))
        elif slash and low is not None and high is not None:
            self._add(low, high, text)
        elif not slash and low is not None:
            self._ranges.append((low, low))
        else:
            self._weekdays.update(_weekdays(word, text))

    def _add(self, first: date, last: date, given: object) -> None:
        if last < first:
            raise TriggerError(
                _FIELD,
                given,
                f"the range ends on {last}, before it begins on {first}",
                "write the earlier date first",
            )
        self._ranges.append((first, last))

    def normal(self) -> tuple[str, ...]:
        """Write all days in their normal form."""
        texts: list[str] = []
        ahead: list[tuple[int, int]] = []
        for first, last in sorted(self._ranges):
            low, high = day_number(first), day_number(last)
            if ahead and low <= ahead[-1][1] + 1:
                ahead[-1] = (ahead[-1][0], max(ahead[-1][1], high))
            else:
                ahead.append((low, high))
        for low, high in ahead:
            tail = "" if low == high else f"/{date_of(high)}"
            texts.append(f"{date_of(low)}{tail}")
        texts += [f"{month:02}-{day:02}" for month, day in sorted(self._yearly)]
        return (*texts, *(_WEEK[day] for day in sorted(self._weekdays)))


def _as_date(value: object) -> date | None:
    """Return a date, given as one or as ISO text; None: it is neither."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str):
        with suppress(ValueError):
            return date.fromisoformat(value)
    return None


def _is_yearly(value: object) -> bool:
    return isinstance(value, str) and _YEARLY.fullmatch(value.strip()) is not None


def _yearly(month: int, day: int, given: str) -> tuple[int, int]:
    """Check a day of the year."""
    if not 1 <= month <= 12 or not 1 <= day <= _LENGTHS[month - 1]:
        raise TriggerError(
            _FIELD, given, "is not a day of any year", "write month and day: 12-25"
        )
    return month, day


def _of_the_year(
    first: tuple[int, int], last: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    """Yield the days from one to another of the same year, or of the next."""
    days = [
        (month, day)
        for month, length in enumerate(_LENGTHS, 1)
        for day in range(1, length + 1)
    ]
    low, high = days.index(first), days.index(last)
    if high < low:
        yield from days[low:]
        low = 0
    yield from days[low : high + 1]


def _weekdays(word: str, given: str) -> range:
    """Read a weekday or a range of weekdays."""
    names = [part.strip() for part in word.split("-")]
    places = [
        place
        for name in names
        for place, short in enumerate(_WEEK)
        if name in (short, _NAMES[place][:-1].lower())
    ]
    if len(places) != len(names) or len(places) > 2:
        raise TriggerError(_FIELD, given, "is no day that is known here", _FORMS)
    if places[-1] < places[0]:
        raise TriggerError(
            _FIELD,
            given,
            "the range of weekdays runs backwards: weeks begin on Monday",
            f'list them, such as "{_WEEK[places[0]]}", "{_WEEK[places[-1]]}"',
        )
    return range(places[0], places[-1] + 1)
