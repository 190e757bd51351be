"""Triggers of APScheduler 3 as triggers of aiosched."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from aiosched.errors import ConfigurationError
from aiosched.instants import micros, moment
from aiosched.integrations.importers.pickles import Shape
from aiosched.triggers.base import Trigger
from aiosched.triggers.calendar import CalendarIntervalTrigger
from aiosched.triggers.combining import AndTrigger, OrTrigger
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.date import DateTrigger
from aiosched.triggers.inputs import load_zone, zone_name
from aiosched.triggers.interval import IntervalTrigger

__all__ = ["interval_on", "jitter_of", "trigger_of"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PLACES = ("1st", "2nd", "3rd", "4th", "5th", "last")
_LAST = {"month": 12, "day": 31, "hour": 23, "minute": 59, "second": 59}
_ORDER = ("month", "day", "day_of_week", "hour", "minute", "second")


def trigger_of(shape: object, following: datetime | None = None) -> Trigger:
    """Return the trigger of aiosched that means the same.

    Args:
        shape: A trigger, as its pickle has it.
        following: When it fires next; None: that is not known.

    Raises:
        InvalidInputError: There is none that means the same.
    """
    if not isinstance(shape, Shape):
        raise _none(f"a {type(shape).__name__}")
    state = shape.state
    if shape.kind == "IntervalTrigger":
        return interval_on(
            state["interval"], state.get("start_date"), following, state.get("end_date")
        )
    if shape.kind == "CronTrigger":
        return _cron(state)
    if shape.kind == "DateTrigger":
        return DateTrigger(state["run_date"] if following is None else following)
    if shape.kind == "CalendarIntervalTrigger":
        return _calendar(state, following)
    if shape.kind in ("AndTrigger", "OrTrigger"):
        parts = [trigger_of(part) for part in _parts(state)]
        return (AndTrigger if shape.kind == "AndTrigger" else OrTrigger)(parts)
    raise _none(shape.kind)


def jitter_of(shape: object) -> float:
    """Return by how many seconds each run may be put off."""
    jitter = shape.state.get("jitter") if isinstance(shape, Shape) else None
    return float(jitter) if isinstance(jitter, int | float) else 0.0


def interval_on(
    interval: timedelta,
    start: datetime | None,
    following: datetime | None,
    end: datetime | None = None,
) -> IntervalTrigger:
    """Return an interval whose grid has the fire time that is next.

    Its start is the first instant of that grid that is not before ``start``, so
    that a later look at the same schedule finds the same trigger.

    Raises:
        InvalidInputError: The interval is none of ours.
    """
    if following is None:
        return IntervalTrigger(seconds=interval.total_seconds(), start=start, end=end)
    first = micros(following)
    step = interval // timedelta(microseconds=1)
    if start is not None and step > 0 and micros(start) <= first:
        first -= (first - micros(start)) // step * step
    return IntervalTrigger(
        seconds=interval.total_seconds(), start=moment(first), end=end
    )


def _parts(state: Mapping[str, Any]) -> list[Shape]:
    """Return the parts of a combination, which are kept as (class, state)."""
    found: list[Shape] = []
    for reference, inner in state["triggers"]:
        name = str(reference).rpartition(":")[2]
        part = type(name, (Shape,), {})()
        part.__setstate__(inner)
        found.append(part)
    return found


def _zone(value: object) -> str:
    """Return the name of a zone, as ZoneInfo, pytz or a fixed offset has it."""
    if isinstance(value, tzinfo) and value.utcoffset(None) == timedelta(0):
        return "UTC"
    return zone_name(value)


def _calendar(
    state: Mapping[str, Any], following: datetime | None
) -> CalendarIntervalTrigger:
    years, months, weeks, days = state["interval"]
    hour, minute, second = state["time"]
    tz = _zone(state["timezone"])
    start: date | None = state["start_date"]
    if following is not None:
        start = following.astimezone(load_zone(tz)).date()
    return CalendarIntervalTrigger(
        years=years,
        months=months,
        weeks=weeks,
        days=days,
        at=f"{hour:02}:{minute:02}:{second:02}",
        tz=tz,
        start=start,
        end=state["end_date"],
    )


# --- cron ---------------------------------------------------------------------


def _cron(state: Mapping[str, Any]) -> CronTrigger:
    fields = {one.state["name"]: one.state["expressions"] for one in state["fields"]}
    for name in ("year", "week"):
        if _text(name, fields.get(name, [])) not in ("*", ""):
            raise ConfigurationError(
                name,
                _text(name, fields[name]),
                "is a field that cron does not have",
                "declare the job by hand: say years by start= and end=, weeks by "
                "CalendarIntervalTrigger",
            )
    words = {name: _text(name, fields[name]) for name in _ORDER}
    return CronTrigger.of(
        **words,  # type: ignore[arg-type]
        tz=_zone(state["timezone"]),
        start=state.get("start_date"),
        end=state.get("end_date"),
        day_or=False,  # all fields have to match there, also both of days
    )


def _text(name: str, expressions: list[Shape]) -> str:
    return ",".join(_expression(name, one) for one in expressions)


def _expression(name: str, one: Shape) -> str:
    state = one.state
    if one.kind == "AllExpression":
        return f"*/{state['step']}" if state.get("step") else "*"
    if one.kind == "LastDayOfMonthExpression":
        return "last"
    if one.kind == "WeekdayPositionExpression":
        return f"{_PLACES[state['option_num']]} {_DAYS[state['weekday']]}"
    first, last, step = state["first"], state.get("last"), state.get("step")
    if name == "day_of_week":
        # Numbers count from Monday there: names cannot be mistaken.
        until = 6 if last is None else last
        days = range(first, until + 1, step or 1)
        return ",".join(_DAYS[day] for day in days)
    if last == first and not step:
        return str(first)
    until = _LAST.get(name, 9999) if last is None else last
    return f"{first}-{until}/{step}" if step else f"{first}-{until}"


def _none(what: str) -> ConfigurationError:
    return ConfigurationError(
        "trigger",
        what,
        "is no trigger that can be read",
        "declare the job by hand; docs/howto/write-cron-expressions.md may help",
    )
