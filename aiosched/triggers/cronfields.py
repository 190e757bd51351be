"""Reading a cron expression into plain sets of numbers."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from aiosched.errors import TriggerError
from aiosched.triggers.cronparts import (
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAYS,
    Draw,
    WrongPartError,
    read_month_days,
    read_values,
    read_weekdays,
)

__all__ = [
    "ALIASES",
    "CronFields",
    "DayRule",
    "Seconds",
    "read_expression",
    "split_fields",
]

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
_LONGEST = 500
_REMEMBERED = 4096
_WEEKDAY = "|".join(WEEKDAYS)
# APScheduler's "last fri" and "2nd mon" are one field with a blank in it.
_TEXT = re.compile(rf"(?:\S*\b(?:last|\d+(?:st|nd|rd|th)) (?=(?:{_WEEKDAY})))*\S+")


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
        day_nth: As ``nth``, said in the field day of month.
        day_last: As ``last_weekdays``, said in the field day of month.
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
    day_nth: frozenset[tuple[int, int]] = frozenset()
    day_last: frozenset[int] = frozenset()


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
        draws: What each of the fields leaves to the id of a job, in the order of
            ``texts``; the sets above lack it.
    """

    texts: tuple[str, ...]
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    day: DayRule
    elapsed: bool
    draws: tuple[tuple[Draw, ...], ...]

    @property
    def hashed(self) -> bool:
        """Whether the expression has an ``H``, so that only a job can settle it."""
        return any(self.draws)


@lru_cache(maxsize=_REMEMBERED)
def read_expression(expression: str, seconds: Seconds | None) -> CronFields:
    """Read a cron expression of five fields, or of six where ``seconds`` is said.

    Raises:
        TriggerError: It is not one; the problem names the cron field.
    """
    texts = _split(expression, seconds)
    minute, hour, day, month, weekday, second = texts
    try:
        seconds_, minutes, hours, months = (
            read_values(second, SECOND),
            read_values(minute, MINUTE),
            read_values(hour, HOUR),
            read_values(month, MONTH),
        )
        days, weekdays = read_month_days(day), read_weekdays(weekday)
    except WrongPartError as wrong:
        problem = f"{wrong.field.name}: {wrong.problem}"
        raise _refusal(expression, problem, wrong.remedy) from None
    return CronFields(
        texts=texts,
        seconds=seconds_.plain,
        minutes=minutes.plain,
        hours=hours.plain,
        months=frozenset(months.plain),
        day=DayRule(
            any_day=day in ("*", "?"),
            days=days.plain,
            before_last=days.before_last,
            nearest=days.nearest,
            last_workday=days.last_workday,
            any_weekday=weekday in ("*", "?"),
            weekdays=weekdays.plain,
            nth=weekdays.nth,
            last_weekdays=weekdays.last,
            day_nth=days.nth,
            day_last=days.last,
        ),
        elapsed=minute.startswith("*") or hour.startswith("*"),
        draws=tuple(
            one.draws for one in (minutes, hours, days, months, weekdays, seconds_)
        ),
    )


def split_fields(text: str) -> list[str]:
    """Cut a text into its fields; ``last fri`` and ``2nd mon`` are one each."""
    return _TEXT.findall(text.lower())


def _split(expression: str, seconds: Seconds | None) -> tuple[str, ...]:
    """Return the six fields, seconds last."""
    _check_characters(expression)
    text = " ".join(expression.lower().split())
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
    fields = split_fields(text)
    if len(fields) == 6 and seconds is None:
        raise _refusal(
            expression,
            "has 6 fields, and nothing says which is the second",
            'say seconds="first" or seconds="last", or write 5 fields; '
            "for a year, give start= and end=",
        )
    wanted = 5 if seconds is None else 6
    if len(fields) != wanted:
        names = ["minute", "hour", "day of month", "month", "day of week"]
        if seconds is not None:
            names.insert(0 if seconds == "first" else 5, "second")
        remedy = f"write {', '.join(names)}"
        if len(fields) == 7:
            remedy += "; for a year, give start= and end="
        raise _refusal(
            expression, f"has {len(fields)} fields instead of {wanted}", remedy
        )
    if seconds is None:
        return (*fields, "0")
    if seconds == "first":
        return (*fields[1:], fields[0])
    return tuple(fields)


def _check_characters(expression: str) -> None:
    if len(expression) > _LONGEST:
        raise _refusal(
            expression, f"is longer than {_LONGEST} characters", "write it shorter"
        )
    if not expression.isascii():
        stranger = next(one for one in expression if not one.isascii())
        raise _refusal(
            expression,
            f"has the character {stranger!r}, which is not ASCII",
            "write digits 0-9, names such as mon, and * ? / - , L W # H",
        )


def _refusal(expression: str, problem: str, remedy: str) -> TriggerError:
    return TriggerError("expression", expression, problem, remedy)
