"""When a job of a file runs: its words, and the trigger that they mean."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from aiosched.errors import ConfigurationError, InvalidInputError, TriggerError
from aiosched.jobs import checks
from aiosched.jobs.inputs import CHECKS
from aiosched.triggers import (
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    RRuleTrigger,
    Trigger,
    every,
    from_unit,
)

__all__ = ["LEADS", "MODIFIERS", "TIMES", "WHENS", "Off", "trigger_of"]

LEADS = ("every", "interval", "cron", "rrule", "trigger", "when")
"""One of them says when a job runs."""
MODIFIERS: dict[str, frozenset[str]] = {
    "every": frozenset(("unit", "time_unit", "on", "at", "tz", "start", "until")),
    "interval": frozenset(("start", "end")),
    "cron": frozenset(("tz", "seconds", "start", "end", "day_or", "gap", "fold")),
    "rrule": frozenset(("start", "tz", "end", "gap", "fold")),
    "trigger": frozenset(),
    "when": frozenset(("tz",)),
}
"""What may stand beside a lead."""
_DAYS = frozenset(("excluding", "shift"))
TIMES: frozenset[str] = _DAYS.union(*MODIFIERS.values())
"""All words that say more of when a job runs."""
WHENS: frozenset[str] = TIMES | frozenset(LEADS)

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_OFF = ("", "off", "none", "false")
_PHRASE = 'write it like "10 minutes", "day" or "monday"'


class Off(Exception):  # noqa: N818 - it is no error
    """The interval says that the job is switched off; the text says how."""


def trigger_of(words: Mapping[str, Any], *, tz: str | None = None) -> Trigger | None:
    """Return the trigger that the words of one job mean.

    Args:
        words: The lead, and what stands beside it; no other words.
        tz: The zone where the words name none; None: UTC.

    Returns:
        None if they have no lead.

    Raises:
        InvalidInputError: The words cannot be used; the field names the one.
        Off: The interval is negative, or says so.
    """
    leads = [lead for lead in LEADS if lead in words]
    if not leads:
        for name in words:
            if name != "tz":
                raise TriggerError(
                    name, words[name], "says more of nothing", "write every = … too"
                )
        return None
    lead = leads[0]
    if len(leads) > 1:
        problem = f"{lead} says when it runs already"
        raise TriggerError(leads[1], words[leads[1]], problem, "keep one of the two")
    beside = {name: value for name, value in words.items() if name != lead}
    days = {name: beside.pop(name) for name in _DAYS if name in beside}
    allowed = MODIFIERS[lead] | ({"tz"} if days else frozenset())
    for name, value in beside.items():
        if name not in allowed:
            known = ", ".join(sorted(MODIFIERS[lead])) or "nothing"
            problem = f"does not go with {lead}"
            raise TriggerError(name, value, problem, f"beside {lead} goes {known}")
    trigger: Trigger | None = _BUILT[lead](words[lead], dict(beside), tz)
    if not days:
        return trigger
    if trigger is None:
        problem, remedy = "goes with what repeats", "leave it out"
        name, value = next(iter(days.items()))
        raise TriggerError(name, value, problem, remedy)
    return _excluding(trigger, days, beside.get("tz", tz))


def _excluding(trigger: Trigger, days: Mapping[str, Any], tz: str | None) -> Trigger:
    if "excluding" not in days:
        problem = "says where to move what nothing excludes"
        raise TriggerError("shift", days["shift"], problem, "write excluding = […]")
    excluded = days["excluding"]
    if isinstance(excluded, str):
        excluded = [excluded]
    if not isinstance(excluded, list | tuple):
        problem, remedy = "is no list of days", 'write ["sat-sun", "12-25"]'
        raise TriggerError("excluding", excluded, problem, remedy)
    return trigger.excluding(*excluded, tz=tz, shift=days.get("shift", "skip"))


# -- the leads --------------------------------------------------------------------


def _every(value: Any, beside: dict[str, Any], tz: str | None) -> Trigger:
    number, unit, at = _phrase(value, beside)
    zone = beside.get("tz") or tz or "UTC"
    on = beside.get("on")
    try:
        if on is None:
            trigger: Any = from_unit(unit, every=number, at=at, tz=zone)
        else:
            trigger = _on(number, unit, on)
            trigger = trigger if at is None else trigger.at(at, zone)
    except TriggerError as error:
        # It speaks of "unit" and "every", which are one word here.
        field = "every" if error.field == "unit" and "unit" not in beside else None
        raise TriggerError(
            field or error.field, error.value, error.problem, error.remedy
        ) from None
    if "start" in beside:
        trigger = trigger.starting(beside["start"], tz=zone)
    if "until" in beside:
        trigger = trigger.until(beside["until"], tz=zone)
    built: Trigger = trigger
    return built


def _phrase(value: Any, beside: Mapping[str, Any]) -> tuple[Any, str, str | None]:
    """Read number, unit and time of day, which may stand in one text."""
    at = beside.get("at")
    unit = beside.get("unit", beside.get("time_unit"))
    if unit is not None:
        if "unit" in beside and "time_unit" in beside:
            problem = "unit is the same, and stands there too"
            raise TriggerError("time_unit", beside["time_unit"], problem, "keep one")
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = _number(value)
        return value, unit, at
    if not isinstance(value, str):
        problem = "does not say of what"
        raise TriggerError("every", value, problem, _PHRASE)
    words = value.lower().split()
    if words[:1] == ["every"]:
        words = words[1:]
    if len(words) > 2 and words[-2] == "at":
        if at is not None:
            raise TriggerError("at", at, "every has a time already", "keep one")
        at, words = words[-1], words[:-2]
    number: Any = None
    if words and _NUMBER.fullmatch(words[0]):
        number, words = _number(words[0]), words[1:]
    if len(words) != 1:
        raise TriggerError("every", value, "is no phrase", _PHRASE)
    unit = words[0]
    if number == 1:
        return (1, f"{unit}s", at) if f"{unit}s" in _PLURALS else (1, unit, at)
    if number is not None and f"{unit}s" in _PLURALS:
        problem = "is a plural and a singular"
        raise TriggerError("every", value, problem, f'write "{number} {unit}s"')
    return number, unit, at


_PLURALS = ("seconds", "minutes", "hours", "days", "weeks", "months", "years")


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _on(number: int | None, unit: str, on: Any) -> Trigger:
    """Fire on weekdays, of each so many weeks."""
    if unit not in ("week", "weeks"):
        problem, remedy = "goes with weeks alone", 'write every = "week"'
        raise TriggerError("on", on, problem, remedy)
    names = [on] if isinstance(on, str) else on
    if not isinstance(names, list | tuple) or not names:
        raise TriggerError("on", on, "is no list of weekdays", 'write ["mon", "thu"]')
    weeks: Any = every(1 if number is None else number).weeks
    made: Trigger = weeks.on(*names)
    return made


def _interval(value: Any, beside: dict[str, Any], _: str | None) -> Trigger:
    seconds = _seconds(value)
    return IntervalTrigger(seconds=seconds, **beside)


def _seconds(value: Any) -> float:
    """Return a positive number of seconds.

    Raises:
        Off: It is negative, or no interval by intention.
    """
    remedy = "write seconds, or text such as PT5M; a negative number means off"
    number = value
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _OFF:
            raise Off(f"its interval is {text or 'empty'!r}")
        number = float(text) if _NUMBER.fullmatch(text) else value
        if not isinstance(number, float):
            try:
                length = checks.duration("interval", value, none=False)
            except ConfigurationError as error:
                raise TriggerError("interval", value, error.problem, remedy) from None
            number = (length or timedelta(0)).total_seconds()
    if number is None or number is False:
        raise Off("its interval is none")
    if isinstance(number, timedelta):
        number = number.total_seconds()
    real = isinstance(number, int | float) and not isinstance(number, bool)
    if not real or not math.isfinite(number) or number == 0:
        raise TriggerError("interval", value, "is not an interval", remedy)
    if number < 0:
        raise Off("its interval is negative")
    return float(number)


def _cron(value: Any, beside: dict[str, Any], tz: str | None) -> Trigger:
    if not isinstance(value, str):
        problem, remedy = "is not text", 'write it like "0 9 * * mon-fri"'
        raise TriggerError("cron", value, problem, remedy)
    return _named("cron", CronTrigger, value, {"tz": tz or "UTC", **beside})


def _rrule(value: Any, beside: dict[str, Any], tz: str | None) -> Trigger:
    if not isinstance(value, str):
        problem, remedy = "is not text", 'write it like "FREQ=MONTHLY;BYDAY=-1FR"'
        raise TriggerError("rrule", value, problem, remedy)
    if "start" not in beside:
        problem = "counts from nowhere"
        raise TriggerError("start", None, problem, 'write start = "2030-01-01 09:00"')
    return _named("rrule", RRuleTrigger, value, {"tz": tz or "UTC", **beside})


def _named(lead: str, kind: Any, value: str, beside: Mapping[str, Any]) -> Trigger:
    try:
        made: Trigger = kind(value, **beside)
    except TriggerError as error:
        field = lead if error.field == "expression" else error.field
        raise TriggerError(field, error.value, error.problem, error.remedy) from None
    return made


def _trigger(value: Any, _: dict[str, Any], __: str | None) -> Trigger | None:
    try:
        made: Trigger | None = CHECKS["trigger"]("trigger", value)
    except InvalidInputError as error:
        inner = "" if error.field == "trigger" else f".{error.field}"
        raise TriggerError(
            f"trigger{inner}", error.value, error.problem, error.remedy
        ) from None
    return made


def _when(value: Any, beside: dict[str, Any], tz: str | None) -> Trigger | None:
    """Leave a delay to the job; an instant without an offset is in the zone."""
    if isinstance(value, datetime) and value.utcoffset() is None:
        value = value.isoformat()
    if isinstance(value, str) and value.lstrip("+-")[:1].upper() != "P":
        try:
            return DateTrigger(value, tz=beside.get("tz", tz))
        except TriggerError as error:
            raise TriggerError(
                "when", error.value, error.problem, error.remedy
            ) from None
    return None


_BUILT: dict[str, Any] = {
    "every": _every,
    "interval": _interval,
    "cron": _cron,
    "rrule": _rrule,
    "trigger": _trigger,
    "when": _when,
}
