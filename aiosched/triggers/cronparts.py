"""Reading one field of a cron expression.

croniter says what the numbers of a field are, once a process; ranges and steps are
slices of that, which is what croniter makes of each of them, at a hundredth of the
cost.  What it reads in another way than cron does, or differently on each host, is
settled here: every part of a field must have one of the forms below, so that a
refusal can name the field and the part.  Fields are remembered by their text, for
most expressions share most of theirs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

from croniter import croniter

__all__ = [
    "DAY_OF_MONTH",
    "DAY_OF_WEEK",
    "FIELDS",
    "HOUR",
    "MINUTE",
    "MONTH",
    "MONTHS",
    "SECOND",
    "WEEKDAYS",
    "CronField",
    "Draw",
    "MonthDays",
    "Values",
    "Weekdays",
    "WrongPartError",
    "read_month_days",
    "read_values",
    "read_weekdays",
]

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
_REMEMBERED = 4096


@dataclass(frozen=True, eq=False, slots=True)
class CronField:
    """A field of a cron expression.

    Attributes:
        name: As refusals call it.
        position: Its place, seconds last.
        low: The least number.
        high: The greatest number.
        drawn: The greatest number that ``H`` draws.
        names: What the numbers from ``low`` on are called.
    """

    name: str
    position: int
    low: int
    high: int
    drawn: int
    names: tuple[str, ...] = ()


MINUTE = CronField("minute", 0, 0, 59, 59)
HOUR = CronField("hour", 1, 0, 23, 23)
# Every month has the days that are drawn.
DAY_OF_MONTH = CronField("day of month", 2, 1, 31, 28)
MONTH = CronField("month", 3, 1, 12, 12, MONTHS)
DAY_OF_WEEK = CronField("day of week", 4, 0, 7, 6, WEEKDAYS)
SECOND = CronField("second", 5, 0, 59, 59)
FIELDS = (MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, SECOND)

_PLAIN = re.compile(
    r"(?P<low>\*|\d{1,4}|[a-z]{3})(?:-(?P<high>\d{1,4}|[a-z]{3}))?(?:/(?P<step>\d{1,9}))?"
)
_BEFORE_LAST = re.compile(r"last|l(?:-(\d{1,2}))?")
_NEAREST = re.compile(r"(?:(\d{1,2})w|w(\d{1,2}))")
_NTH = re.compile(r"(.+)#(\d{1,2})")
_LAST_WEEKDAY = re.compile(r"(?:l(\d)|(\d|[a-z]{3})l)")
_ORDINAL = re.compile(r"(?:(last)|(\d{1,2})(?:st|nd|rd|th)) (.+)")
_RANDOM = re.compile(r"r(\(.*\))?(/\d+)?")
_DRAWN = re.compile(r"h(?:\((\w{1,4})-(\w{1,4})\))?(?:/(\d{1,9}))?", re.ASCII)


class Draw(NamedTuple):
    """A part with ``H``: a number that follows from the id of a job.

    Attributes:
        low: The least number.
        high: The greatest number.
        step: With ``/step``, every so many numbers from the drawn one on; else
            None.
    """

    low: int
    high: int
    step: int | None

    @property
    def choices(self) -> int:
        """How many numbers may be drawn, from ``low`` on."""
        size = self.high - self.low + 1
        return size if self.step is None else min(self.step, size)

    def values(self, number: int) -> range:
        """Return what ``number``, of any size, draws."""
        first = self.low + number % self.choices
        if self.step is None:
            return range(first, first + 1)
        return range(first, self.high + 1, self.step)

    def text(self, number: int) -> str:
        """Return the plain part that says the same as :meth:`values`."""
        values = self.values(number)
        if len(values) == 1:
            return str(values.start)
        return f"{values.start}-{self.high}/{self.step}"


class WrongPartError(Exception):
    """A part that cannot be read; the expression around it is not known here.

    Attributes:
        field: The field in which it stands.
        problem: What is wrong.
        remedy: What to write instead.
    """

    def __init__(self, field: CronField, problem: str, remedy: str) -> None:
        """Keep what a refusal of the expression says."""
        super().__init__(problem)
        self.field = field
        self.problem = problem
        self.remedy = remedy


class Values(NamedTuple):
    """What a field says that knows numbers, names, ranges, steps and H only."""

    plain: tuple[int, ...]
    draws: tuple[Draw, ...]


class MonthDays(NamedTuple):
    """What the field day of month says."""

    plain: frozenset[int]
    before_last: frozenset[int]
    nearest: frozenset[int]
    last_workday: bool
    nth: frozenset[tuple[int, int]]
    last: frozenset[int]
    draws: tuple[Draw, ...]


class Weekdays(NamedTuple):
    """What the field day of week says."""

    plain: frozenset[int]
    nth: frozenset[tuple[int, int]]
    last: frozenset[int]
    draws: tuple[Draw, ...]


@lru_cache(maxsize=_REMEMBERED)
def read_values(text: str, field: CronField) -> Values:
    """Read a field of times or months."""
    plain: set[int] = set()
    draws: list[Draw] = []
    for part in _parts(text, field):
        if part.startswith("h"):
            draws.append(_draw(part, field))
        else:
            plain |= _plain(part, field)
    return Values(tuple(sorted(plain)), tuple(draws))


@lru_cache(maxsize=_REMEMBERED)
def read_month_days(text: str) -> MonthDays:
    """Read the field day of month."""
    days: set[int] = set()
    before_last: set[int] = set()
    nearest: set[int] = set()
    nth: set[tuple[int, int]] = set()
    last: set[int] = set()
    draws: list[Draw] = []
    last_workday = False
    for part in () if text in ("*", "?") else _parts(text, DAY_OF_MONTH):
        if part in ("lw", "wl"):
            last_workday = True
        elif part.startswith("h"):
            draws.append(_draw(part, DAY_OF_MONTH))
        elif match := _BEFORE_LAST.fullmatch(part):
            before_last.add(_within(match[1] or "0", 0, 30, part, DAY_OF_MONTH))
        elif match := _NEAREST.fullmatch(part):
            nearest.add(_within(match[1] or match[2], 1, 31, part, DAY_OF_MONTH))
        elif match := _ORDINAL.fullmatch(part):
            _ordinal(match, nth, last)
        else:
            days |= _plain(part, DAY_OF_MONTH)
    return MonthDays(
        plain=frozenset(days),
        before_last=frozenset(before_last),
        nearest=frozenset(nearest),
        last_workday=last_workday,
        nth=frozenset(nth),
        last=frozenset(last),
        draws=tuple(draws),
    )


@lru_cache(maxsize=_REMEMBERED)
def read_weekdays(text: str) -> Weekdays:
    """Read the field day of week."""
    weekdays: set[int] = set()
    nth: set[tuple[int, int]] = set()
    last: set[int] = set()
    draws: list[Draw] = []
    for part in () if text in ("*", "?") else _parts(text, DAY_OF_WEEK):
        if part.startswith("h"):
            draws.append(_draw(part, DAY_OF_WEEK))
        elif match := _NTH.fullmatch(part):
            number = _within(match[2], 1, 5, part, DAY_OF_WEEK)
            nth |= {(one, number) for one in _plain(match[1], DAY_OF_WEEK)}
        elif match := _LAST_WEEKDAY.fullmatch(part):
            last |= _plain(match[1] or match[2], DAY_OF_WEEK)
        elif match := _ORDINAL.fullmatch(part):
            _ordinal(match, nth, last)
        else:
            weekdays |= _plain(part, DAY_OF_WEEK)
    return Weekdays(frozenset(weekdays), frozenset(nth), frozenset(last), tuple(draws))


def _ordinal(match: re.Match[str], nth: set[tuple[int, int]], last: set[int]) -> None:
    """Enter ``last fri`` or ``2nd mon``."""
    weekdays = _plain(match[3], DAY_OF_WEEK)
    if match[1]:
        last |= weekdays
    else:
        number = _within(match[2], 1, 5, match[0], DAY_OF_WEEK)
        nth |= {(one, number) for one in weekdays}


def _parts(text: str, field: CronField) -> list[str]:
    parts = text.split(",")
    for part in parts:
        if not part:
            raise WrongPartError(field, "has an empty part", "remove a comma")
        if "?" in part:
            raise WrongPartError(
                field,
                "? stands alone, as a whole day field",
                "write * here, or ? for the day of month or of week",
            )
        if _RANDOM.fullmatch(part):
            raise WrongPartError(
                field,
                f"{part!r} is random, so that no two peers would agree",
                "write H, which is drawn from the job's id, or give the job a jitter",
            )
    return parts


def _plain(part: str, field: CronField) -> frozenset[int]:
    """Expand ``*``, ``a``, ``a-b``, each with or without ``/step``."""
    match = _PLAIN.fullmatch(part)
    if match is None or (match["low"] == "*" and match["high"] is not None):
        raise WrongPartError(field, f"cannot read {part!r}", _example(field))
    step = 1
    if match["step"] is not None:
        widest = field.high - field.low - (field is DAY_OF_WEEK)
        step = _step(match["step"], widest, part, field)
    if match["low"] == "*":
        return _every(field, field.low, field.high, step)
    low = _number(match["low"], part, field)
    if match["high"] is None:
        high = low if match["step"] is None else field.high
        return _every(field, low, high, step)
    high = _number(match["high"], part, field)
    if match["high"] == "sun" and low > 0:
        high = 7
    if low > high:
        raise _backwards(low, high, part, field)
    return _every(field, low, high, step)


def _draw(part: str, field: CronField) -> Draw:
    """Read ``H``, ``H/15``, ``H(0-29)`` or ``H(0-29)/10``."""
    match = _DRAWN.fullmatch(part)
    if match is None:
        raise WrongPartError(
            field,
            f"cannot read {part!r}",
            "write H, H/n, H(a-b) or H(a-b)/n, with numbers of the field",
        )
    low, high = field.low, field.drawn
    if match[1] is not None:
        low, high = (_number(match[n], part, field) for n in (1, 2))
        if field is DAY_OF_WEEK and low > 0 and match[2] == "sun":
            high = 7
        if low > high:
            raise _backwards(low, high, part, field)
        if field is DAY_OF_MONTH and high > field.drawn:
            raise WrongPartError(
                field,
                f"{part!r} may draw a day that some months do not have",
                f"draw from 1 to {field.drawn}, or write L for the last day",
            )
        if field is DAY_OF_WEEK and high - low == 7:
            high = field.drawn
    if match[3] is None:
        return Draw(low, high, None)
    return Draw(low, high, _step(match[3], max(high - low, 1), part, field))


def _backwards(low: int, high: int, part: str, field: CronField) -> WrongPartError:
    if part.startswith("h"):
        remedy = f"write H({high}-{low}), or one H for each side of the turn"
    else:
        remedy = f"write it as two, such as {low}-{field.high},{field.low}-{high}"
    return WrongPartError(field, f"the range {part!r} runs backwards", remedy)


def _number(text: str, part: str, field: CronField) -> int:
    if text.isdigit():
        return _within(text, field.low, field.high, part, field)
    if text not in field.names:
        raise WrongPartError(field, f"{text!r} is not a name", _example(field))
    return field.names.index(text) + field.low


def _within(text: str, low: int, high: int, part: str, field: CronField) -> int:
    number = int(text)
    if not low <= number <= high:
        raise WrongPartError(
            field,
            f"{number} in {part!r} is out of range",
            f"write a number from {low} to {high}",
        )
    return number


def _step(text: str, widest: int, part: str, field: CronField) -> int:
    step = int(text)
    if not 1 <= step <= widest:
        problem = "never moves" if step == 0 else "leaves the field at once"
        raise WrongPartError(
            field,
            f"the step in {part!r} {problem}",
            f"write a step from 1 to {widest}",
        )
    return step


def _every(field: CronField, low: int, high: int, step: int) -> frozenset[int]:
    """Return every so manieth number from ``low`` to ``high``, both included."""
    return frozenset(_numbers(field)[low - field.low : high - field.low + 1 : step])


@cache
def _numbers(field: CronField) -> tuple[int, ...]:
    """Have croniter expand the field; the place of a number is what is written."""
    final = 6 if field is DAY_OF_WEEK else field.high
    # In halves, for it answers a star to a whole field.
    middle = (field.low + final) // 2
    found: list[int] = []
    for half in (f"{field.low}-{middle}", f"{middle + 1}-{final}"):
        fields = ["*"] * (6 if field is SECOND else 5)
        fields[field.position] = half
        values = croniter.expand(" ".join(fields))[0][field.position]
        found.extend(int(value) for value in values)
    if field is DAY_OF_WEEK:
        found.append(found[0])  # Sunday is 0 and 7
    return tuple(found)


def _example(field: CronField) -> str:
    if field is DAY_OF_MONTH:
        return "write numbers from 1 to 31, L, L-3, LW, 15W, last fri, ranges or steps"
    if field is DAY_OF_WEEK:
        return "write 0-7 or sun-sat, ranges, fri#2 (second) or 5L (last Friday)"
    names = f" or {field.names[0]}-{field.names[-1]}" if field.names else ""
    return f"write numbers from {field.low} to {field.high}{names}, ranges or steps"
