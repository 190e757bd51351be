"""A cron expression in English words."""

from __future__ import annotations

from collections.abc import Sequence

from aiosched.triggers.cronfields import CronFields, DayRule
from aiosched.triggers.inputs import clock_text

__all__ = ["MONTH_NAMES", "WEEKDAY_NAMES", "describe_cron", "listed", "ordinal"]

WEEKDAY_NAMES = (
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
)
MONTH_NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_MOST_TIMES = 6
_FULL = frozenset({"every minute", "every hour"})


def describe_cron(fields: CronFields, *, day_or: bool) -> str:
    """Say what an expression means, without its zone."""
    words = _times(fields)
    days = _days(fields.day, day_or=day_or)
    if days:
        words += f" on {days}"
    elif words.startswith("at "):
        words += " every day"
    if len(fields.months) < 12:
        months = [MONTH_NAMES[month - 1] for month in sorted(fields.months)]
        words += f" in {listed(months)}"
    return words


def _times(fields: CronFields) -> str:
    """Say at which times of day it fires."""
    number = len(fields.hours) * len(fields.minutes) * len(fields.seconds)
    if number <= _MOST_TIMES:
        return "at " + listed(
            [
                clock_text(hour * 3600 + minute * 60 + second)
                for hour in fields.hours
                for minute in fields.minutes
                for second in fields.seconds
            ]
        )
    hours = _every(fields.hours, 24, "hour")
    if fields.minutes == fields.seconds == (0,) and hours.startswith("every"):
        return hours
    parts = [] if fields.seconds == (0,) else [_every(fields.seconds, 60, "second")]
    for part in (_every(fields.minutes, 60, "minute"), hours):
        # "every second" says "of every minute" already.
        if not (parts and parts[-1].startswith("every") and part in _FULL):
            parts.append(part)
    return " of ".join(parts)


def _every(values: Sequence[int], size: int, unit: str) -> str:
    """Say which values of a unit match."""
    if len(values) == size:
        return f"every {unit}"
    if len(values) > 2:
        step = values[1] - values[0]
        if list(values) == list(range(0, size, step)) and size % step == 0:
            return f"every {step} {unit}s"
    noun = unit if len(values) == 1 else f"{unit}s"
    return f"{noun} {listed(_spans(values))}"


def _spans(values: Sequence[int]) -> list[str]:
    """Join runs of neighbours: 1, 2, 3, 7 becomes 1 to 3, 7."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    spans: list[str] = []
    for run in runs:
        if len(run) > 2:
            spans.append(f"{run[0]} to {run[-1]}")
        else:
            spans.extend(str(value) for value in run)
    return spans


def _days(rule: DayRule, *, day_or: bool) -> str:
    """Say which days match; nothing where all do."""
    by_day, by_weekday = _month_days(rule), _weekdays(rule)
    if rule.any_day and rule.any_weekday:
        return ""
    if rule.any_day:
        return by_weekday
    if rule.any_weekday:
        return by_day
    return f"{by_day} {'or on' if day_or else 'if it is'} {by_weekday}"


def _month_days(rule: DayRule) -> str:
    parts: list[str] = []
    if rule.days:
        spans = _spans(sorted(rule.days))
        one = len(spans) == 1 and spans[0].isdigit()
        parts.append(f"{'day' if one else 'days'} {listed(spans)}")
    for back in sorted(rule.before_last):
        before = f"{back} day{'s' if back > 1 else ''} before " if back else ""
        parts.append(f"{before}the last day")
    if rule.last_workday:
        parts.append("the last Monday to Friday")
    parts.extend(
        f"the Monday to Friday nearest to day {day}" for day in sorted(rule.nearest)
    )
    return f"{listed(parts)} of the month"


def _weekdays(rule: DayRule) -> str:
    # The week is told from Monday on.
    order = sorted(rule.weekdays, key=lambda weekday: (weekday - 1) % 7)
    parts: list[str]
    if order == [1, 2, 3, 4, 5]:
        parts = ["Monday to Friday"]
    else:
        parts = [WEEKDAY_NAMES[weekday] for weekday in order]
    parts.extend(
        f"the {ordinal(number)} {WEEKDAY_NAMES[weekday]} of the month"
        for weekday, number in sorted(rule.nth, key=lambda pair: pair[::-1])
    )
    parts.extend(
        f"the last {WEEKDAY_NAMES[weekday]} of the month"
        for weekday in sorted(rule.last_weekdays)
    )
    return listed(parts)


def ordinal(number: int) -> str:
    """Write 1 as 1st, 2 as 2nd and so on."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{({1: 'st', 2: 'nd', 3: 'rd'}).get(number % 10, 'th')}"


def listed(parts: Sequence[str]) -> str:
    """Join words with commas and a last "and"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
