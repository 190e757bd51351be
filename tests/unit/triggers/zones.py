"""The zones of the tz database, and the rule of clock changes said once more.

Nothing here is taken from the triggers.  UTC is walked step by step, each instant
is turned into wall time, and the rule is applied to what the wall shows: a gap is
a wall that jumps, a fold is a wall that shows what it has shown before.

All instants are whole seconds since 1970.
"""

from __future__ import annotations

import struct
import zoneinfo
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from itertools import accumulate, pairwise, repeat
from operator import add
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tests.unit.triggers.reference import field

__all__ = [
    "DAY",
    "EXPRESSIONS",
    "HOUR",
    "QUARTER",
    "Change",
    "Expected",
    "Rule",
    "changes",
    "expected",
    "histories",
    "instant",
    "recorded_changes",
    "zone_names",
]

EXPRESSIONS = (
    "0 0 * * *",
    "0 1 * * *",
    "30 2 * * *",
    "0 * * * *",
    "*/15 * * * *",
)
QUARTER = 900
HOUR = 3_600
DAY = 86_400
_LONGEST_GAP = timedelta(hours=3)
# What the wall has shown before the range that is asked about.
_LEAD = 3 * DAY


class Change(NamedTuple):
    """A change of a zone's offset.

    Attributes:
        at: The first second of UTC that has the new offset.
        before: Local minus UTC seconds until then.
        after: Local minus UTC seconds from then on.
    """

    at: int
    before: int
    after: int


class Expected(NamedTuple):
    """What is to happen in one zone in one range.

    Attributes:
        fires: The slots of each expression.
        days: The local dates that exist, from some days before the range on.
    """

    fires: dict[str, list[int]]
    days: list[str]


def instant(text: str) -> int:
    """Return the second of an ISO date or time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def zone_names() -> list[str]:
    """Return every zone of the tz database here, but those of the host."""
    return sorted(
        zoneinfo.available_timezones() - {"localtime", "Factory", "posixrules"}
    )


def _wall(zone: ZoneInfo, low: int, high: int, step: int) -> list[datetime]:
    """Return the wall time of every ``step`` of ``low <= second < high``."""
    # A zone is asked with a datetime that carries it and whose fields are UTC.
    start = datetime(1970, 1, 1, tzinfo=zone) + timedelta(seconds=low)
    strides = repeat(timedelta(seconds=step), (high - low - 1) // step)
    return list(map(zone.fromutc, accumulate(strides, add, initial=start)))


def _offset(zone: ZoneInfo, second: int) -> int:
    origin = datetime(1970, 1, 1, tzinfo=zone)
    (shown,) = _wall(zone, second, second + 1, 1)
    return round((shown - origin).total_seconds()) - second


def changes(name: str, low: int, high: int, step: int = 6 * HOUR) -> list[Change]:
    """Find the changes of ``low < at <= high``.

    UTC is looked at every ``step`` seconds; where the wall has not gone on by as
    much, closer, until every second is looked at.
    """
    zone = ZoneInfo(name)
    shown = _wall(zone, low, max(high, low + step) + 1, step)
    even = timedelta(seconds=step)
    found = []
    for number, (one, two) in enumerate(pairwise(shown)):
        if two - one == even:
            continue
        first = low + number * step
        if step > 1:
            closer = QUARTER if step > QUARTER else 1
            found += changes(name, first, first + step, closer)
        else:
            before = round((one - datetime(1970, 1, 1, tzinfo=zone)).total_seconds())
            after = round((two - datetime(1970, 1, 1, tzinfo=zone)).total_seconds())
            found.append(Change(first + 1, before - first, after - first - 1))
    return [change for change in found if change.at <= high]


@lru_cache(maxsize=1)
def histories(first: str = "2024-01-01", final: str = "2033-01-01") -> dict[str, str]:
    """Map each zone to the first one that has the same changes in a span.

    Two zones with the same offset at the beginning and the same changes cannot be
    told apart within it.
    """
    low, high = instant(first), instant(final)
    seen: dict[tuple[object, ...], str] = {}
    found = {}
    for name in zone_names():
        opening = _offset(ZoneInfo(name), low - _LEAD)
        history = (opening, *changes(name, low - _LEAD, high + _LEAD))
        found[name] = seen.setdefault(history, name)
    return found


class Rule:
    """A cron expression of plain fields, and of some words for days.

    Days of the month may be numbers, ranges, steps, ``L`` and ``15W``, days of the
    week numbers (Sunday is 0), ranges, steps, ``5#2`` and ``5L``.
    """

    def __init__(self, text: str) -> None:
        """Read the five fields."""
        minutes, hours, self.day, months, self.weekday = text.split()
        self.text = text
        self.elapsed = minutes.startswith("*") or hours.startswith("*")
        self.clock = {
            (hour, minute)
            for hour in field(hours, 0, 23)
            for minute in field(minutes, 0, 59)
        }
        self.months = field(months, 1, 12)

    def matches(self, wall: datetime) -> bool:
        """Tell whether a wall time matches."""
        return (
            not wall.second
            and (wall.hour, wall.minute) in self.clock
            and self.on(wall.date())
        )

    def on(self, day: date) -> bool:
        """Tell whether a date matches."""
        if self.day == self.weekday == "*":
            return day.month in self.months
        by_day = any(_is_day(part, day) for part in self.day.split(","))
        by_weekday = any(_is_weekday(part, day) for part in self.weekday.split(","))
        if "*" in (self.day, self.weekday):
            return day.month in self.months and by_day and by_weekday
        return day.month in self.months and (by_day or by_weekday)


def _is_day(part: str, day: date) -> bool:
    last = (day + timedelta(days=1)).month != day.month
    if part == "L":
        return last
    if part.endswith("W"):
        month = [day + timedelta(days=n - day.day) for n in range(1, 32)]
        month = [one for one in month if one.month == day.month]
        wanted = min(int(part[:-1]), len(month))
        work = [one for one in month if one.weekday() < 5]
        return day == min(work, key=lambda one: abs(one.day - wanted))
    return day.day in field(part, 1, 31)


def _is_weekday(part: str, day: date) -> bool:
    number = day.isoweekday() % 7
    if "#" in part:
        weekday, _, nth = part.partition("#")
        return number == int(weekday) and (day.day + 6) // 7 == int(nth)
    if part.endswith("L"):
        later = day + timedelta(days=7)
        return number == int(part[:-1]) and later.month != day.month
    return number in field(part, 0, 6)


def expected(
    name: str, expressions: Iterable[str], low: int, high: int, step: int = QUARTER
) -> Expected:
    """Walk ``low <= second < high`` and say what is to fire.

    ``step`` must divide the offsets of the zone, and the times of the expressions;
    only then does the walk meet all of them.  It is checked for the offsets.
    """
    zone = ZoneInfo(name)
    rules = [Rule(text) for text in expressions]
    some = set().union(*(rule.clock for rule in rules))
    found: dict[str, list[int]] = {rule.text: [] for rule in rules}
    even, second = timedelta(seconds=step), low - _LEAD - step
    shown = _wall(zone, second, high, step)
    peak = previous = shown[0]
    days: dict[str, None] = {}
    for wall in shown[1:]:
        second += step
        if wall.day != previous.day:
            days[wall.date().isoformat()] = None
        missing = [] if wall - previous == even else _missing(previous, wall, even)
        if second >= low and (missing or (wall.hour, wall.minute) in some):
            for rule in rules:
                fires = rule.matches(wall)
                if not rule.elapsed:
                    fires = fires and wall > peak
                    lost = [one for one in missing if one > peak]
                    fires = fires or any(map(rule.matches, lost))
                if fires:
                    found[rule.text].append(second)
        previous = wall
        if wall > peak:
            peak = wall
    return Expected(found, list(days))


def _missing(previous: datetime, wall: datetime, even: timedelta) -> list[datetime]:
    """Return the wall times that a gap left out, if it is one to be made up for."""
    step = even.seconds
    clock = wall.hour * HOUR + wall.minute * 60 + wall.second
    assert clock % step == 0, f"the offset {wall.utcoffset()} is no multiple of {even}"
    if not even < wall - previous <= even + _LONGEST_GAP:
        return []
    left_out = []
    lost = previous + even
    while lost < wall:
        left_out.append(lost)
        lost += even
    return left_out


def recorded_changes(name: str) -> list[Change]:
    """Read the changes that a zone's compiled file lists one by one (RFC 9636).

    What follows by the rule at the file's end is not among them.
    """
    raw = _compiled(name)
    _, version, *counts = struct.unpack(">4sc15x6l", raw[:44])
    assert version >= b"2", name
    isut, isstd, leap, number, types, letters = counts
    # The first block is for readers of 32 bits; the second has all.
    raw = raw[44 + number * 5 + types * 6 + letters + leap * 8 + isstd + isut :]
    *_, number, types, _ = struct.unpack(">4sc15x6l", raw[:44])
    raw = raw[44:]
    instants = struct.unpack(f">{number}q", raw[: number * 8])
    kinds = raw[number * 8 : number * 9]
    raw = raw[number * 9 :]
    offsets = [struct.unpack_from(">l", raw, 6 * kind)[0] for kind in range(types)]
    found, before = [], offsets[0]
    for at, kind in zip(instants, kinds, strict=True):
        if offsets[kind] != before:
            found.append(Change(at, before, offsets[kind]))
        before = offsets[kind]
    return found


def _compiled(name: str) -> bytes:
    for folder in zoneinfo.TZPATH:
        path = Path(folder, name)
        if path.is_file():
            return path.read_bytes()
    return resources.files("tzdata").joinpath("zoneinfo", name).read_bytes()
