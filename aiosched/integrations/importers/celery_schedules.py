"""Schedules of Celery as triggers of aiosched: crontab, interval and rrule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiosched.errors import ConfigurationError
from aiosched.integrations.importers.aps_triggers import interval_on
from aiosched.triggers.base import Trigger
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.recurring import RRuleTrigger

__all__ = ["EPOCH", "every", "from_crontab", "from_rrule"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Where intervals are counted from whose source does not say it."""
_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
_FREQUENCIES = (
    "YEARLY",
    "MONTHLY",
    "WEEKLY",
    "DAILY",
    "HOURLY",
    "MINUTELY",
    "SECONDLY",
)
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_LISTS = (
    "bysetpos",
    "bymonth",
    "bymonthday",
    "byyearday",
    "byweekno",
    "byhour",
    "byminute",
    "bysecond",
)
_STEPS = {"MINUTELY": 60, "SECONDLY": 1}


def from_crontab(fields: Mapping[str, Any], tz: str) -> CronTrigger:
    """Return the trigger of a crontab, whose fields all have to match.

    Args:
        fields: As ``celery.schedules.crontab`` takes them; one that is missing is
            ``*``.
        tz: The zone of the application.

    Raises:
        InvalidInputError: They are no cron expression.
    """
    words = " ".join(_field(fields.get(name, "*")) for name in _FIELDS)
    return CronTrigger(words, tz=tz, day_or=False)


def _field(value: object) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(str(one) for one in sorted(value, key=str))
    return "".join(str(value).split())


def every(seconds: float, following: datetime | None) -> Trigger:
    """Return the trigger of an interval.

    Raises:
        InvalidInputError: It is none.
    """
    step = timedelta(seconds=float(seconds))
    if following is None:
        # The same at each import, whenever it is made.
        return interval_on(step, EPOCH, None)
    return interval_on(step, None, following)


def from_rrule(rule: Mapping[str, Any], tz: str, following: datetime | None) -> Trigger:
    """Return the trigger of a recurrence rule, as redbeat writes it.

    Raises:
        InvalidInputError: It is one that aiosched does not have.
    """
    frequency = _FREQUENCIES[rule["freq"]]
    interval = int(rule.get("interval") or 1)
    start = _instant(rule.get("dtstart")) or following
    if start is None:
        raise ConfigurationError(
            "dtstart",
            None,
            "is missing, so nothing says what the rule counts from",
            "declare the job by hand, with RRuleTrigger(rule, start=...)",
        )
    bounded = [name for name in (*_LISTS, "byweekday") if rule.get(name) is not None]
    if frequency in _STEPS and not bounded and rule.get("count") is None:
        step = timedelta(seconds=_STEPS[frequency] * interval)
        return interval_on(step, start, following, _instant(rule.get("until")))
    if rule.get("byeaster") is not None:
        raise ConfigurationError(
            "byeaster", rule["byeaster"], "is not known", "exclude or list the dates"
        )
    parts = [f"FREQ={frequency}", f"INTERVAL={interval}"]
    parts += [
        f"BYDAY={_weekdays(rule[name])}"
        if name == "byweekday"
        else f"{name.upper()}={_numbers(rule[name])}"
        for name in bounded
    ]
    if rule.get("wkst") is not None:
        parts.append(f"WKST={_weekdays(rule['wkst'])}")
    if rule.get("count") is not None:
        parts.append(f"COUNT={int(rule['count'])}")
    zone = "UTC" if not rule.get("dtstart_tz") else tz
    until = _instant(rule.get("until"))
    return RRuleTrigger(";".join(parts), start=start, tz=zone, end=until)


def _instant(seconds: object) -> datetime | None:
    if not isinstance(seconds, int | float):
        return None
    return EPOCH + timedelta(seconds=seconds)


def _numbers(value: Any) -> str:
    several: Iterable[Any] = value if isinstance(value, list | tuple) else [value]
    return ",".join(str(int(one)) for one in several)


def _weekdays(value: Any) -> str:
    several: Iterable[Any] = value if isinstance(value, list | tuple) else [value]
    found = []
    for one in several:
        number = one["wkday"] if isinstance(one, Mapping) else one
        found.append(_DAYS[int(number)])
    return ",".join(found)
