"""A cron expression in English words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from aiosched.triggers.cronfields import CronFields, DayRule
from aiosched.triggers.cronparts import DAY_OF_MONTH, DAY_OF_WEEK, MONTH, Draw
from aiosched.triggers.inputs import MONTH_NAMES, clock_text

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
_MOST_TIMES = 6
_LISTED = 4
_FULL = frozenset({"every minute", "every hour"})


def describe_cron(fields: CronFields, *, day_or: bool) -> str:
    """Say what an expression means, without its zone.

    What follows from the id of a job is said to be drawn.
    """
    words = _times(fields)
    days = _days(fields, day_or=day_or)
    if days:
        words += f" on {days}"
    elif words.startswith("at ") and len(fields.hours) < 24:
        words += " every day"
    months = _months(fields)
    return f"{words} in {months}" if months else words


def _times(fields: CronFields) -> str:
    """Say at which times of day it fires."""
    minute_draws, hour_draws, *_, second_draws = fields.draws
    drawn = minute_draws or hour_draws or second_draws
    number = len(fields.hours) * len(fields.minutes) * len(fields.seconds)
    if number <= _MOST_TIMES and not drawn:
        return "at " + listed(
            [
                clock_text(hour * 3600 + minute * 60 + second)
                for hour in fields.hours
                for minute in fields.minutes
                for second in fields.seconds
            ]
        )
    seconds = _every(fields.seconds, second_draws, 60, "second")
    minutes = _every(fields.minutes, minute_draws, 60, "minute")
    hours = _every(fields.hours, hour_draws, 24, "hour")
    plain = fields.seconds == (0,) and not second_draws
    if plain and fields.minutes == (0,) and hours.startswith("every"):
        return hours
    parts = [] if plain else [seconds]
    for part in (minutes, hours):
        # "every second" says "of every minute" already.
        if not (parts and parts[-1].startswith("every") and part in _FULL):
            parts.append(part)
    words = " of ".join(parts)
    return f"at {words}" if drawn and not words.startswith("every") else words


def _every(values: Sequence[int], draws: Sequence[Draw], size: int, unit: str) -> str:
    """Say which values of a unit match."""
    parts = [_drawn(draw, 0, size - 1, unit, str) for draw in draws]
    if not values:
        return listed(parts)
    if len(values) == size:
        return f"every {unit}"
    if len(values) > 2 and not draws:
        step = values[1] - values[0]
        if list(values) == list(range(0, size, step)) and size % step == 0:
            return f"every {step} {unit}s"
    noun = unit if len(values) == 1 else f"{unit}s"
    return listed([f"{noun} {listed(_spans(values))}", *parts])


def _drawn(
    draw: Draw, low: int, high: int, unit: str, name: Callable[[int], str]
) -> str:
    """Say what is drawn, with its bounds where they are not ``low`` and ``high``."""
    between = (draw.low, draw.high) != (low, high)
    if draw.step is None:
        bounds = f" from {name(draw.low)} to {name(draw.high)}" if between else ""
        return f"a drawn {unit}{bounds}"
    bounds = f" between {name(draw.low)} and {name(draw.high)}" if between else ""
    first, *rest = unit.split(" ", 1)
    units = " ".join([f"{first}s", *rest])
    return f"every {draw.step} {units} from a drawn one on{bounds}"


def _months(fields: CronFields) -> str:
    """Say which months match; nothing where all do."""
    draws = fields.draws[MONTH.position]
    if len(fields.months) == 12:
        return ""
    parts = [_month_name(month) for month in sorted(fields.months)]
    parts.extend(_drawn(draw, 1, 12, "month", _month_name) for draw in draws)
    return listed(parts)


def _month_name(month: int) -> str:
    return MONTH_NAMES[month - 1]


def _weekday_name(weekday: int) -> str:
    return WEEKDAY_NAMES[weekday % 7]


def _spans(values: Sequence[int]) -> list[str]:
    """Join runs of neighbours: 1, 2, 3, 7 becomes 1 to 3, 7."""
    if len(values) > _LISTED:
        step = values[1] - values[0]
        if step > 1 and list(values) == list(range(values[0], values[-1] + 1, step)):
            return [f"{values[0]} to {values[-1]} in steps of {step}"]
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


def _days(fields: CronFields, *, day_or: bool) -> str:
    """Say which days match; nothing where all do."""
    rule = fields.day
    if rule.any_day and rule.any_weekday:
        return ""
    by_day = _month_days(rule, fields.draws[DAY_OF_MONTH.position])
    by_weekday = _weekdays(rule, fields.draws[DAY_OF_WEEK.position])
    if rule.any_day:
        return by_weekday
    if rule.any_weekday:
        return by_day
    return f"{by_day} {'or on' if day_or else 'if it is'} {by_weekday}"


def _month_days(rule: DayRule, draws: Sequence[Draw]) -> str:
    parts: list[str] = []
    if rule.days:
        noun = "day" if len(rule.days) == 1 else "days"
        parts.append(f"{noun} {listed(_spans(sorted(rule.days)))}")
    parts.extend(_before_last(back) for back in sorted(rule.before_last))
    if rule.last_workday:
        parts.append("the last Monday to Friday")
    parts.extend(
        f"the Monday to Friday nearest to day {day}" for day in sorted(rule.nearest)
    )
    parts.extend(_named_days(rule.day_nth, rule.day_last))
    drawn = [_drawn(draw, 1, 31, "day of the month", str) for draw in draws]
    return listed([f"{listed(parts)} of the month", *drawn] if parts else drawn)


def _before_last(back: int) -> str:
    if back < 2:
        return "the day before the last" if back else "the last day"
    return f"the {ordinal(back)} day before the last"


def _weekdays(rule: DayRule, draws: Sequence[Draw]) -> str:
    # The week is told from Monday on.
    order = sorted(rule.weekdays, key=lambda weekday: (weekday - 1) % 7)
    parts: list[str]
    if len(order) == 7:
        parts = ["every day of the week"]
    elif order == [1, 2, 3, 4, 5]:
        parts = ["Monday to Friday"]
    else:
        parts = [WEEKDAY_NAMES[weekday] for weekday in order]
    parts.extend(_drawn(draw, 0, 6, "weekday", _weekday_name) for draw in draws)
    named = _named_days(rule.nth, rule.last_weekdays)
    parts.extend(f"{day} of the month" for day in named)
    return listed(parts)


def _named_days(nth: Iterable[tuple[int, int]], last: Iterable[int]) -> list[str]:
    parts = [
        f"the {ordinal(number)} {WEEKDAY_NAMES[weekday]}"
        for weekday, number in sorted(nth, key=lambda pair: pair[::-1])
    ]
    parts.extend(f"the last {WEEKDAY_NAMES[weekday]}" for weekday in sorted(last))
    return parts


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
