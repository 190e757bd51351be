"""Reading a cron expression into plain sets of numbers.

croniter expands what is plain (numbers, names, ranges, steps).  What it reads in
another way than cron does, or differently on each host, is settled here before it
sees it: every part of a field must have one of the forms below, so that a refusal
can name the field and the part.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from croniter import croniter

from aiosched.errors import TriggerError

__all__ = ["ALIASES", "CronFields", "DayRule", "Seconds", "read_expression"]

Seconds = Literal["first", "last"]

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MONTHS = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = 500


class _Field(NamedTuple):
    name: str
    position: int
    low: int
    high: int
    names: tuple[str, ...] = ()


_MINUTE = _Field("minute", 0, 0, 59)
_HOUR = _Field("hour", 1, 0, 23)
_DAY = _Field("day of month", 2, 1, 31)
_MONTH = _Field("month", 3, 1, 12, MONTHS)
_WEEKDAY = _Field("day of week", 4, 0, 7, WEEKDAYS)
_SECOND = _Field("second", 5, 0, 59)

_PLAIN = re.compile(
    r"(?P<low>\*|\d{1,4}|[a-z]{3})(?:-(?P<high>\d{1,4}|[a-z]{3}))?(?:/(?P<step>\d{1,9}))?"
)
_BEFORE_LAST = re.compile(r"l(?:-(\d{1,2}))?")
_NEAREST = re.compile(r"(?:(\d{1,2})w|w(\d{1,2}))")
_NTH = re.compile(r"(.+)#(\d{1,2})")
_LAST_WEEKDAY = re.compile(r"(?:l(\d)|(\d|[a-z]{3})l)")
_HASHED = re.compile(r"([hr])(\(.*\))?(/\d+)?")


class DayRule(NamedTuple):
    """Which days of a month match; weekdays count from Sunday, 0, to Saturday, 6.

    Attributes:
        any_day: The field day of month was a bare ``*`` or ``?``.
        days: Days of the month.
        before_last: Days before the last day of the month (0: the last day).
        nearest: Days of which the nearest Monday to Friday counts.
        last_workday: The last Monday to Friday of the month counts.
        any_weekday: The field day of week was a bare ``*`` or ``?``.
        weekdays: Days of the week.
        nth: Pairs (weekday, n): the nth such weekday of the month.
        last_weekdays: Weekdays whose last in the month counts.
    """

    any_day: bool
    days: frozenset[int]
    before_last: frozenset[int]
    nearest: frozenset[int]
    last_workday: bool
    any_weekday: bool
    weekdays: frozenset[int]
    nth: frozenset[tuple[int, int]]
    last_weekdays: frozenset[int]


class CronFields(NamedTuple):
    """A cron expression, read.

    Attributes:
        texts: The fields as written, lower case, seconds last.
        seconds: Matching seconds, sorted.
        minutes: Matching minutes, sorted.
        hours: Matching hours, sorted.
        months: Matching months.
        day: Which days match.
        elapsed: The minute or hour field starts with ``*``, so the schedule
            follows elapsed time over clock changes.
    """

    texts: tuple[str, ...]
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    day: DayRule
    elapsed: bool


@lru_cache(maxsize=4096)
def read_expression(expression: str, seconds: Seconds | None) -> CronFields:
    """Read a cron expression of five fields, or of six where ``seconds`` is said.

    Raises:
        TriggerError: It is not one; the problem names the cron field.
    """
    texts = _split(expression, seconds)
    reader = _Reader(expression)
    minute, hour, day, month, weekday, second = texts
    return CronFields(
        texts=texts,
        seconds=reader.plain_field(second, _SECOND),
        minutes=reader.plain_field(minute, _MINUTE),
        hours=reader.plain_field(hour, _HOUR),
        months=frozenset(reader.plain_field(month, _MONTH)),
        day=reader.day_rule(day, weekday),
        elapsed=minute.startswith("*") or hour.startswith("*"),
    )


def _split(expression: str, seconds: Seconds | None) -> tuple[str, ...]:
    """Return the six fields, seconds last."""
    if len(expression) > _LONGEST:
        raise _refusal(
            expression, f"is longer than {_LONGEST} characters", "write it shorter"
        )
    for character in expression:
        if not character.isascii():
            raise _refusal(
                expression,
                f"has the character {character!r}, which is not ASCII",
                "write digits 0-9, names such as mon, and * ? / - , L W #",
            )
    text = expression.strip().lower()
    if text.startswith("@"):
        if text not in ALIASES:
            raise _refusal(
                expression,
                "is not a nickname of cron",
                f"use one of {', '.join(ALIASES)}, or an IntervalTrigger",
            )
        if seconds is not None:
            raise _refusal(expression, "has no field for seconds", "leave seconds= out")
        text = ALIASES[text]
    fields = text.split()
    if len(fields) == 6 and seconds is None:
        raise _refusal(
            expression,
            "has 6 fields, and nothing says which is the second",
            'say seconds="first" or seconds="last", or write 5 fields',
        )
    wanted = 5 if seconds is None else 6
    if len(fields) != wanted:
        remedy = "write minute, hour, day of month, month, day of week"
        if wanted == 6:
            remedy += f", and the second {seconds}"
        raise _refusal(
            expression, f"has {len(fields)} fields instead of {wanted}", remedy
        )
    if seconds is None:
        return (*fields, "0")
    if seconds == "first":
        return (*fields[1:], fields[0])
    return tuple(fields)


def _refusal(expression: str, problem: str, remedy: str) -> TriggerError:
    return TriggerError("expression", expression, problem, remedy)


class _Reader:
    """Reads the fields of one expression, which its refusals show."""

    def __init__(self, expression: str) -> None:
        self._expression = expression

    def plain_field(self, text: str, field: _Field) -> tuple[int, ...]:
        """Read a field that knows numbers, names, ranges and steps only."""
        values: set[int] = set()
        for part in self._parts(text, field):
            values |= self._plain(part, field)
        return tuple(sorted(values))

    def day_rule(self, day: str, weekday: str) -> DayRule:
        """Read the two day fields."""
        days: set[int] = set()
        before_last: set[int] = set()
        nearest: set[int] = set()
        last_workday = False
        for part in () if day in ("*", "?") else self._parts(day, _DAY):
            if part in ("lw", "wl"):
                last_workday = True
            elif match := _BEFORE_LAST.fullmatch(part):
                before_last.add(self._within(match[1] or "0", 0, 30, part, _DAY))
            elif match := _NEAREST.fullmatch(part):
                text = match[1] or match[2]
                nearest.add(self._within(text, 1, 31, part, _DAY))
            else:
                days |= self._plain(part, _DAY)
        weekdays: set[int] = set()
        nth: set[tuple[int, int]] = set()
        last_weekdays: set[int] = set()
        for part in () if weekday in ("*", "?") else self._parts(weekday, _WEEKDAY):
            if match := _NTH.fullmatch(part):
                number = self._within(match[2], 1, 5, part, _WEEKDAY)
                nth |= {(one, number) for one in self._plain(match[1], _WEEKDAY)}
            elif (match := _LAST_WEEKDAY.fullmatch(part)) is not None:
                last_weekdays |= self._plain(match[1] or match[2], _WEEKDAY)
            else:
                weekdays |= self._plain(part, _WEEKDAY)
        return DayRule(
            any_day=day in ("*", "?"),
            days=frozenset(days),
            before_last=frozenset(before_last),
            nearest=frozenset(nearest),
            last_workday=last_workday,
            any_weekday=weekday in ("*", "?"),
            weekdays=frozenset(weekdays),
            nth=frozenset(nth),
            last_weekdays=frozenset(last_weekdays),
        )

    def _parts(self, text: str, field: _Field) -> list[str]:
        parts = text.split(",")
        for part in parts:
            if not part:
                raise self._wrong(field, "has an empty part", "remove a comma")
            if "?" in part:
                raise self._wrong(
                    field,
                    "? stands alone, as a whole day field",
                    "write * here, or ? for the day of month or of week",
                )
            if match := _HASHED.fullmatch(part):
                raise self._unstable(field, part, random=match[1] == "r")
        return parts

    def _plain(self, part: str, field: _Field) -> set[int]:
        """Expand ``*``, ``a``, ``a-b``, each with or without ``/step``."""
        match = _PLAIN.fullmatch(part)
        if match is None or (match["low"] == "*" and match["high"] is not None):
            raise self._wrong(field, f"cannot read {part!r}", _example(field))
        step = "" if match["step"] is None else self._step(match["step"], part, field)
        if match["low"] == "*":
            return self._expand(f"*{step}", field)
        low = self._number(match["low"], part, field)
        if match["high"] is None:
            return self._expand(f"{low}{step}", field)
        high = self._number(match["high"], part, field)
        if match["high"] == "sun" and low > 0:
            high = 7
        if low > high:
            raise self._wrong(
                field,
                f"the range {part!r} runs backwards",
                f"write it as two, such as {low}-{field.high},{field.low}-{high}",
            )
        if low == high:
            # croniter takes such a range for the whole field; cron does not.
            return self._expand(str(low), field)
        return self._expand(f"{low}-{high}{step}", field)

    def _number(self, text: str, part: str, field: _Field) -> int:
        if text.isdigit():
            return self._within(text, field.low, field.high, part, field)
        if text not in field.names:
            raise self._wrong(field, f"{text!r} is not a name", _example(field))
        return field.names.index(text) + field.low

    def _within(self, text: str, low: int, high: int, part: str, field: _Field) -> int:
        number = int(text)
        if not low <= number <= high:
            raise self._wrong(
                field,
                f"{number} in {part!r} is out of range",
                f"write a number from {low} to {high}",
            )
        return number

    def _step(self, text: str, part: str, field: _Field) -> str:
        step, widest = int(text), field.high - field.low
        if field is _WEEKDAY:
            widest -= 1
        if not 1 <= step <= widest:
            problem = "never moves" if step == 0 else "leaves the field at once"
            raise self._wrong(
                field,
                f"the step in {part!r} {problem}",
                f"write a step from 1 to {widest}",
            )
        return f"/{step}"

    def _expand(self, text: str, field: _Field) -> set[int]:
        """Have croniter expand one plain part."""
        fields = ["*"] * (6 if field is _SECOND else 5)
        fields[field.position] = text
        try:
            values = croniter.expand(" ".join(fields))[0][field.position]
        except (ValueError, KeyError) as error:
            raise self._wrong(field, str(error), _example(field)) from None
        if values == ["*"]:
            high = field.high - 1 if field is _WEEKDAY else field.high
            return set(range(field.low, high + 1))
        return {int(value) for value in values}

    def _unstable(self, field: _Field, part: str, *, random: bool) -> TriggerError:
        if random:
            return self._wrong(
                field,
                f"{part!r} is random, so that no two peers would agree",
                "write a number; to spread load, give the job a jitter",
            )
        return self._wrong(
            field,
            f"{part!r} is hashed, which is not supported",
            "write a number; to spread load, give the job a jitter",
        )

    def _wrong(self, field: _Field, problem: str, remedy: str) -> TriggerError:
        return _refusal(self._expression, f"{field.name}: {problem}", remedy)


def _example(field: _Field) -> str:
    if field is _DAY:
        return "write numbers from 1 to 31, L, L-3, LW, 15W, ranges or steps"
    if field is _WEEKDAY:
        return "write 0-7 or sun-sat, ranges, fri#2 (second) or 5L (last Friday)"
    names = f" or {field.names[0]}-{field.names[-1]}" if field.names else ""
    return f"write numbers from {field.low} to {field.high}{names}, ranges or steps"
