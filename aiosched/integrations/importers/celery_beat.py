"""Celery beat: the ``beat_schedule`` of an application.

Beat keeps when it last sent a task in a file of its own that only it can read
safely, so here the hand-over instant says what is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from aiosched.errors import ConfigurationError, InvalidInputError
from aiosched.integrations.importers.celery_schedules import every, from_crontab
from aiosched.integrations.importers.found import Found, Left, Schedule, take
from aiosched.integrations.importers.names import Names
from aiosched.integrations.importers.redbeat import options_of
from aiosched.triggers.base import Trigger
from aiosched.triggers.cron import CronTrigger

__all__ = ["read_celery_beat"]

_FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
_NEW_PHASE = "it begins to count anew: beat does not say when it was sent last"


def read_celery_beat(
    beat_schedule: Mapping[str, Any],
    *,
    at: datetime,
    names: Names,
    prefix: str = "",
    tz: str = "UTC",
) -> Found:
    """Read a ``beat_schedule``.

    Args:
        beat_schedule: Name to ``task``, ``schedule``, ``args``, ``kwargs`` and
            ``options``; schedules are numbers of seconds, timedeltas, or Celery's
            own objects, which are only looked at.
        at: The instant of the hand-over, aware: slots up to it are beat's.
        names: Which executor stands for which task.
        prefix: What stands before each id here.
        tz: The ``timezone`` of the Celery application.

    Raises:
        InvalidInputError: It is no mapping, or the zone is unknown.
    """
    CronTrigger("0 0 * * *", tz=tz)
    if not isinstance(beat_schedule, Mapping):
        raise ConfigurationError(
            "beat_schedule",
            beat_schedule,
            "is no mapping",
            "give app.conf.beat_schedule",
        )
    return take(_schedules(beat_schedule, tz), at=at, names=names, prefix=prefix)


def _schedules(beat_schedule: Mapping[str, Any], tz: str) -> Iterator[Schedule | Left]:
    for name, entry in beat_schedule.items():
        try:
            trigger, remarks = _trigger(entry["schedule"], tz)
            options, more = options_of(entry.get("options") or {})
            yield Schedule(
                str(name),
                entry["task"],
                trigger,
                None,
                tuple(entry.get("args") or ()),
                dict(entry.get("kwargs") or {}),
                options,
                (*remarks, *more),
            )
        except InvalidInputError as error:
            yield Left(str(name), str(error))
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            reason = f"it is no entry of beat: {type(error).__name__}: {error}"
            yield Left(str(name), reason)


def _trigger(schedule: Any, tz: str) -> tuple[Trigger, tuple[str, ...]]:
    if isinstance(schedule, int | float) and not isinstance(schedule, bool):
        return every(schedule, None), (_NEW_PHASE,)
    if isinstance(schedule, timedelta):
        return every(schedule.total_seconds(), None), (_NEW_PHASE,)
    made: Any = schedule
    kind = type(made).__name__
    if kind == "crontab":
        fields = {name: getattr(made, f"_orig_{name}") for name in _FIELDS}
        return from_crontab(fields, tz), ()
    if kind == "schedule":
        return every(made.run_every.total_seconds(), None), (_NEW_PHASE,)
    raise ConfigurationError(
        "schedule",
        schedule,
        f"is a {kind}, which has no trigger here",
        "declare the job by hand",
    )
