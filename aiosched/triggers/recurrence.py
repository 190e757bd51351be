"""Reading recurrence rules of RFC 5545, the words of iCalendar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from aiosched.errors import TriggerError
from aiosched.triggers.weekly import DAYS

__all__ = ["Rule", "read_rule"]

Frequency = Literal["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY"]

FREQUENCIES: tuple[Frequency, ...] = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")
MOST_TIMES = 96
"""How many times a day a rule may have: what is denser is an interval or cron."""

_RANGES = {
    "INTERVAL": (1, 100_000),
    "COUNT": (1, 10_000),
    "BYSECOND": (0, 59),
    "BYMINUTE": (0, 59),
    "BYHOUR": (0, 23),
    "BYMONTHDAY": (1, 31),
    "BYYEARDAY": (1, 366),
    "BYWEEKNO": (1, 53),
    "BYMONTH": (1, 12),
    "BYSETPOS": (1, 366),
}
_FROM_THE_END = frozenset({"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS"})
_SINGLE = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST")
_LISTS = tuple(key for key in _RANGES if key.startswith("BY"))
_KEYS = (*_SINGLE, *_LISTS, "BYDAY")
_ELSEWHERE = ("DTSTART", "EXDATE", "RDATE", "EXRULE", "TZID", "DURATION")
# What RFC 5545 (3.3.10) rules out for a frequency.
_NOT_FOR: dict[str, tuple[str, ...]] = {
    "YEARLY": (),
    "MONTHLY": ("BYWEEKNO", "BYYEARDAY"),
    "WEEKLY": ("BYWEEKNO", "BYYEARDAY", "BYMONTHDAY"),
    "DAILY": ("BYWEEKNO", "BYYEARDAY"),
    "HOURLY": ("BYWEEKNO",),
}
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NUMBER = re.compile(r"([+-]?)(\d{1,7})", re.ASCII)
_WEEKDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_UNTIL = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?", re.ASCII)
_SHORT = tuple(name[:2].upper() for name in DAYS)


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence rule as numbers; an empty set restricts nothing.

    Attributes:
        frequency: What the periods are.
        interval: Each so manieth period counts.
        count: How many occurrences there are; None: no limit.
        until: The last instant, naive (on the wall); None: no limit.
        ends_in_utc: ``until`` is in UTC instead.
        week_start: The weekday with which weeks begin, Monday 0.
        weekdays: Weekdays without a number.
        nth: Weekdays with a number: (number, weekday), from the end if negative.
        positions: Which of a period's occurrences count.
    """

    frequency: Frequency
    interval: int
    count: int | None
    until: datetime | None
    ends_in_utc: bool
    week_start: int
    weekdays: frozenset[int]
    nth: frozenset[tuple[int, int]]
    months: frozenset[int]
    month_days: frozenset[int]
    year_days: frozenset[int]
    week_numbers: frozenset[int]
    hours: frozenset[int]
    minutes: frozenset[int]
    seconds: frozenset[int]
    positions: tuple[int, ...]

    @property
    def any_day(self) -> bool:
        """Whether nothing says which days of a period count."""
        return not (
            self.weekdays
            or self.nth
            or self.month_days
            or self.year_days
            or self.week_numbers
        )


def read_rule(text: str) -> Rule:
    """Read a rule such as ``FREQ=MONTHLY;BYDAY=-1FR``.

    Args:
        text: In any case, with or without ``RRULE:`` in front.

    Raises:
        TriggerError: It is no rule, or one that can never match.
    """
    return _Reader(text).rule()


class _Reader:
    """Reads one text, and names it in its errors."""

    def __init__(self, text: str) -> None:
        self.text = text
        bare = text.strip().upper().removeprefix("RRULE:")
        found = next((word for word in _ELSEWHERE if word in bare), None)
        if found is not None or len(bare.splitlines()) > 1:
            raise self.error(
                f"{found or 'a second line'}: only the rule itself belongs here",
                "give start= and tz=, leave out dates with .excluding(), and join "
                "rules with |",
            )
        self.parts: dict[str, str] = {}
        for part in bare.split(";"):
            key, mark, value = part.partition("=")
            if key not in _KEYS or not mark or not value:
                raise self.error(
                    f"{part or 'nothing'!r} is no part of a rule",
                    f"use {', '.join(_KEYS)}, each with =",
                )
            if key in self.parts:
                raise self.error(f"{key}: occurs twice", "say it once")
            self.parts[key] = value

    def error(self, problem: str, remedy: str) -> TriggerError:
        return TriggerError("expression", self.text, problem, remedy)

    def rule(self) -> Rule:
        frequency = self.frequency()
        lists = {key: self.numbers(key) for key in _LISTS}
        weekdays, nth = self.weekdays(frequency)
        until, utc = self.until()
        count = self.number("COUNT")
        if count is not None and until is not None:
            raise self.error("COUNT and UNTIL exclude each other", "keep one of them")
        rule = Rule(
            frequency=frequency,
            interval=self.number("INTERVAL") or 1,
            count=count,
            until=until,
            ends_in_utc=utc,
            week_start=self.week_start(),
            weekdays=weekdays,
            nth=nth,
            months=frozenset(lists["BYMONTH"]),
            month_days=frozenset(lists["BYMONTHDAY"]),
            year_days=frozenset(lists["BYYEARDAY"]),
            week_numbers=frozenset(lists["BYWEEKNO"]),
            hours=frozenset(lists["BYHOUR"]),
            minutes=frozenset(lists["BYMINUTE"]),
            seconds=frozenset(lists["BYSECOND"]),
            positions=tuple(sorted(set(lists["BYSETPOS"]))),
        )
        self.check(rule)
        return rule

    def frequency(self) -> Frequency:
        word = self.parts.get("FREQ")
        for frequency in FREQUENCIES:
            if word == frequency:
                return frequency
        if word in ("MINUTELY", "SECONDLY"):
            unit = word.removesuffix("LY").lower() + "s"
            raise self.error(
                f"FREQ: {word} is elapsed time",
                f"use IntervalTrigger({unit}=…), or a CronTrigger for fixed times",
            )
        problem = "FREQ: is missing" if word is None else f"FREQ: {word} is not known"
        raise self.error(problem, f"write one of {', '.join(FREQUENCIES)}")

    def number(self, key: str) -> int | None:
        if key not in self.parts:
            return None
        numbers = self.numbers(key)
        if len(numbers) > 1:
            raise self.error(f"{key}: takes one number", "leave out the others")
        return numbers[0]

    def numbers(self, key: str) -> list[int]:
        if key not in self.parts:
            return []
        low, high = _RANGES[key]
        found: list[int] = []
        for word in self.parts[key].split(","):
            match = _NUMBER.fullmatch(word)
            signed = match is not None and bool(match[1])
            value = int(word) if match is not None else 0
            fits = match is not None and low <= abs(value) <= high
            if not fits or (signed and key not in _FROM_THE_END):
                ends = f", or -{high} to -{low}" if key in _FROM_THE_END else ""
                raise self.error(
                    f"{key}: {word!r} is out of range",
                    f"write {low} to {high:,}{ends}",
                )
            found.append(value)
        return found

    def weekdays(
        self, frequency: Frequency
    ) -> tuple[frozenset[int], frozenset[tuple[int, int]]]:
        plain: set[int] = set()
        nth: set[tuple[int, int]] = set()
        words = self.parts.get("BYDAY", "")
        for word in words.split(",") if words else ():
            match = _WEEKDAY.fullmatch(word)
            number = int(match[1] or 0) if match is not None else 0
            if match is None or (match[1] and not 1 <= abs(number) <= 53):
                raise self.error(
                    f"BYDAY: {word!r} is not a weekday", "write MO to SU, 2MO or -1FR"
                )
            weekday = _SHORT.index(match[2])
            if number:
                nth.add((number, weekday))
            else:
                plain.add(weekday)
        if nth and (frequency not in ("YEARLY", "MONTHLY") or "BYWEEKNO" in self.parts):
            raise self.error(
                "BYDAY: a number needs months or years to count in",
                "leave the number out, or write FREQ=MONTHLY",
            )
        return frozenset(plain), frozenset(nth)

    def week_start(self) -> int:
        word = self.parts.get("WKST", "MO")
        if word not in _SHORT:
            raise self.error(
                f"WKST: {word!r} is not a weekday", f"write {', '.join(_SHORT)}"
            )
        return _SHORT.index(word)

    def until(self) -> tuple[datetime | None, bool]:
        word = self.parts.get("UNTIL")
        if word is None:
            return None, False
        match = _UNTIL.fullmatch(word)
        day, clock, mark = match.groups() if match is not None else ("", None, "")
        # A date means its end.
        text = f"{day}T{clock or '235959'}"
        try:
            return datetime.fromisoformat(text), bool(mark)
        except ValueError:
            raise self.error(
                f"UNTIL: {word!r} is not a date",
                "write 20301231, 20301231T235959 or 20301231T235959Z",
            ) from None

    def check(self, rule: Rule) -> None:
        for key in _NOT_FOR[rule.frequency]:
            if key in self.parts:
                raise self.error(
                    f"{key}: does not go with FREQ={rule.frequency}",
                    "leave it out, or choose a longer frequency",
                )
        if rule.positions and not set(self.parts) & {*_LISTS, "BYDAY"} - {"BYSETPOS"}:
            raise self.error(
                "BYSETPOS: there is nothing to choose from",
                "add another part, such as BYDAY=MO,TU,WE,TH,FR",
            )
        hours = len(rule.hours) or (24 if rule.frequency == "HOURLY" else 1)
        times = hours * (len(rule.minutes) or 1) * (len(rule.seconds) or 1)
        if times > MOST_TIMES:
            raise self.error(
                f"it has {times:,} times a day, more than {MOST_TIMES}",
                "use a CronTrigger",
            )
        months = rule.months or range(1, 13)
        if rule.month_days and not any(
            abs(day) <= _LONGEST[month - 1]
            for day in rule.month_days
            for month in months
        ):
            raise self.error(
                "BYMONTHDAY: no such month has that day", "choose a day that it has"
            )
