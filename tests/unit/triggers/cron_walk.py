"""Cron by walking the clock minute by minute, to compare with.

Nothing here is taken from the project, nor from a library of cron: a field is a
question about one date or number, a slot is a minute at which the wall clock shows
what matches, and a change of the clock is seen as a jump of the wall clock between
one minute and the next.

``python -m tests.unit.triggers.cron_walk`` writes the fire times of
``cron_reference.txt`` anew.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from hashlib import blake2b
from pathlib import Path
from zoneinfo import ZoneInfo

__all__ = ["LIST", "Row", "read_rows", "walk"]

LIST = Path(__file__).with_name("cron_reference.txt")
TIMES = 5
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_NAMES = {
    name: number
    for names, first in (
        ("sun mon tue wed thu fri sat", 0),
        ("jan feb mar apr may jun jul aug sep oct nov dec", 1),
    )
    for number, name in enumerate(names.split(), first)
}
_BOUNDS = {
    "second": (0, 59),
    "minute": (0, 59),
    "hour": (0, 23),
    "day of month": (1, 31),
    "month": (1, 12),
    "day of week": (0, 6),
}


@dataclass(frozen=True)
class Row:
    """A line of the list: what is asked, and what was answered."""

    expression: str
    zone: str
    options: tuple[tuple[str, str], ...]
    after: str
    times: tuple[str, ...]

    @property
    def option(self) -> dict[str, str]:
        return dict(self.options)

    def line(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options) or "-"
        asked = f"{self.expression} | {self.zone} | {options} | {self.after}"
        return f"{asked} | {' '.join(self.times)}".rstrip()


def read_rows() -> list[Row]:
    """Read the list; lines that begin with ``;`` are remarks."""
    rows = []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith(";"):
            continue
        expression, zone, options, after, times = (
            part.strip() for part in line.split("|")
        )
        pairs = [] if options == "-" else options.split(",")
        named = tuple(
            (name.strip(), value)
            for name, _, value in (p.partition("=") for p in pairs)
        )
        rows.append(Row(expression, zone, named, after, tuple(times.split())))
    return rows


def walk(row: Row) -> list[str]:
    """Return the next fire times of a row, found step by step."""
    found: list[str] = []
    for instant in _slots(row):
        found.append(instant.strftime("%Y-%m-%dT%H:%M:%SZ"))
        if len(found) == TIMES:
            break
    return found


def _slots(row: Row) -> Iterator[datetime]:
    fields = _fields(row)
    zone = ZoneInfo(row.zone)
    after = datetime.fromisoformat(row.after)
    wild = fields["minute"][0] == "*" or fields["hour"][0] == "*"
    makes_up = row.option.get("gap", "skip" if wild else "next") == "next"
    fold = row.option.get("fold", "both" if wild else "first")
    both = row.option.get("day_or", "yes") == "yes"
    # What the clock has shown before counts, for gaps and folds.
    now = after.replace(second=0) - timedelta(hours=26)
    latest = now.astimezone(zone).replace(tzinfo=None)
    while now.year < 2200:
        local = now.astimezone(zone).replace(tzinfo=None)
        today = _day(fields, local.date(), either=both)
        tomorrow = _day(fields, local.date() + _DAY, either=both)
        if (
            local.minute == 0
            and not (today and _in("hour", local.hour, fields))
            and _steady(now, zone)
        ):
            # Nothing can match: to the next hour, or as far on the next day.
            now += _HOUR if today or tomorrow else _DAY
            shown = (now - _MINUTE).astimezone(zone).replace(tzinfo=None)
            latest = max(latest, shown)
            continue
        gap = local - latest - _MINUTE
        if makes_up and timedelta(0) < gap <= timedelta(hours=3) and now > after:
            missed = latest + _MINUTE
            while missed < local:
                if _minute(fields, missed, either=both):
                    yield now
                    break
                missed += _MINUTE
        else:
            missed = local
        again = local <= latest
        latest = max(latest, local)
        if _minute(fields, local, either=both) and not (
            (fold == "first" and again) or (fold == "last" and _comes_again(now, zone))
        ):
            for second in range(60):
                instant = now + timedelta(seconds=second)
                made_up = missed < local and second == 0
                if instant > after and not made_up and _in("second", second, fields):
                    yield instant
        now += _MINUTE


def _steady(now: datetime, zone: ZoneInfo) -> bool:
    """Tell whether the clock is not changed from some hours before to a day after."""
    probes = [now + timedelta(hours=hours) for hours in (-4, 0, 12, 24, 28)]
    return len({probe.astimezone(zone).utcoffset() for probe in probes}) == 1


def _comes_again(now: datetime, zone: ZoneInfo) -> bool:
    """Tell whether the clock will show the same once more."""
    shown = now.astimezone(zone).replace(tzinfo=None)
    return any(
        (now + timedelta(minutes=30 * n)).astimezone(zone).replace(tzinfo=None) == shown
        for n in range(1, 7)
    )


def _fields(row: Row) -> dict[str, str]:
    text = _NICKNAMES.get(row.expression.lower(), row.expression.lower())
    # Blanks inside "last fri" and "2nd mon" do not divide.
    text = re.sub(
        r"(last|\d(?:st|nd|rd|th)) (sun|mon|tue|wed|thu|fri|sat)", r"\1_\2", text
    )
    texts = text.split()
    where = row.option.get("seconds")
    second = texts.pop(0) if where == "first" else texts.pop() if where else "0"
    names = ["minute", "hour", "day of month", "month", "day of week"]
    fields = dict(zip(names, texts, strict=True)) | {"second": second}
    job = row.option.get("job")
    if job is None:
        return fields
    return {name: _draw(name, value, job) for name, value in fields.items()}


def _draw(name: str, text: str, job: str) -> str:
    digest = blake2b(f"{name}\0{job}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "big")
    low, high = (1, 28) if name == "day of month" else _BOUNDS[name]

    def one(match: re.Match[str]) -> str:
        first, final = low, high
        if match[1]:
            first, final = (_number(word) for word in match[1].split("-"))
        if match[2]:
            step = int(match[2])
            return f"{first + number % step}-{final}/{step}"
        return str(first + number % (final - first + 1))

    return re.sub(r"h(?:\((\w+-\w+)\))?(?:/(\d+))?", one, text)


def _number(word: str) -> int:
    return _NAMES[word] if word in _NAMES else int(word)


def _minute(fields: dict[str, str], local: datetime, *, either: bool) -> bool:
    return (
        _in("minute", local.minute, fields)
        and _in("hour", local.hour, fields)
        and _day(fields, local.date(), either=either)
    )


def _day(fields: dict[str, str], day: date, *, either: bool) -> bool:
    if not _in("month", day.month, fields):
        return False
    in_month, in_week = fields["day of month"], fields["day of week"]
    answers = []
    if in_month not in ("*", "?"):
        answers.append(any(_month_day(part, day) for part in in_month.split(",")))
    if in_week not in ("*", "?"):
        answers.append(any(_weekday(part, day) for part in in_week.split(",")))
    if not answers:
        return True
    return any(answers) if either else all(answers)


@cache
def _month_day(part: str, day: date) -> bool:
    length = monthrange(day.year, day.month)[1]
    if part in ("l", "last"):
        return day.day == length
    if part.startswith("l-"):
        return day.day + int(part[2:]) == length
    if part in ("lw", "wl"):
        return _nearest(day, length, downwards=True) == day.day
    if "w" in part and "_" not in part:
        return _nearest(day, int(part.strip("w"))) == day.day
    if "_" in part:
        return _named(part, day)
    return _plain("day of month", part, day.day)


def _nearest(day: date, target: int, *, downwards: bool = False) -> int:
    """Return the Monday to Friday nearest to a day, within the month of ``day``."""
    length = monthrange(day.year, day.month)[1]
    target = min(target, length)
    workdays = [
        number
        for number in range(1, length + 1)
        if day.replace(day=number).weekday() < 5
    ]
    if downwards:
        return max(workdays)
    return min(workdays, key=lambda number: abs(number - target))


def _named(part: str, day: date) -> bool:
    which, name = part.split("_")
    if _NAMES[name] != day.isoweekday() % 7:
        return False
    if which == "last":
        return (day + _WEEK).month != day.month
    return (day.day - 1) // 7 + 1 == int(which[0])


@cache
def _weekday(part: str, day: date) -> bool:
    number = day.isoweekday() % 7
    if "_" in part:
        return _named(part, day)
    if "#" in part:
        part, _, nth = part.partition("#")
        return (day.day - 1) // 7 + 1 == int(nth) and _weekday(part, day)
    if last := re.fullmatch(r"l(\d)|(\d|[a-z]{3})l", part):
        return (day + _WEEK).month != day.month and _weekday(last[1] or last[2], day)
    # Sunday stands at both ends of the week.
    return _plain("day of week", part, number) or (
        number == 0
        and re.search(r"-(7|sun)|^7|^\w+/", part) is not None
        and _plain("day of week", part.replace("sun", "7"), 7)
    )


def _in(name: str, number: int, fields: dict[str, str]) -> bool:
    return any(_plain(name, part, number) for part in fields[name].split(","))


@cache
def _plain(name: str, part: str, number: int) -> bool:
    """Tell whether a number is in ``*``, ``a`` or ``a-b``, each also with a step."""
    span, _, step = part.partition("/")
    low, high = _BOUNDS[name]
    if span != "*":
        first, _, final = span.partition("-")
        low = _number(first)
        greatest = 7 if name == "day of week" else high
        high = _number(final) if final else greatest if step else low
        if final == "sun" and low > 0:
            high = 7
    return low <= number <= high and (number - low) % int(step or 1) == 0


def main() -> None:
    """Write the list anew."""
    head = [
        line
        for line in LIST.read_text(encoding="utf-8").splitlines()
        if line.startswith(";")
    ]
    lines = [
        Row(row.expression, row.zone, row.options, row.after, tuple(walk(row))).line()
        for row in read_rows()
    ]
    LIST.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
