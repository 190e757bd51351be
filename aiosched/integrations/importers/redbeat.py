"""redbeat, the Celery beat that keeps its schedule in Redis, read only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from aiosched.errors import InvalidInputError
from aiosched.instants import SECOND, moment
from aiosched.integrations.importers.celery_schedules import (
    every,
    from_crontab,
    from_rrule,
)
from aiosched.integrations.importers.found import Found, Left, Schedule, take
from aiosched.integrations.importers.names import Names
from aiosched.integrations.importers.servers import reading
from aiosched.jobs import JobOptions
from aiosched.triggers.base import Trigger
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.inputs import load_zone

__all__ = ["options_of", "read_redbeat"]


def read_redbeat(
    url: str,
    *,
    at: datetime,
    names: Names,
    prefix: str = "",
    tz: str = "UTC",
    key_prefix: str = "redbeat:",
) -> Found:
    """Read the entries of a schedule.

    Args:
        url: Of the server and the database.
        at: The instant of the hand-over, aware; each entry says when it is next.
        names: Which executor stands for which task.
        prefix: What stands before each id here.
        tz: The ``timezone`` of the Celery application, where its crontabs are wall
            time.
        key_prefix: Its ``redbeat_key_prefix``.

    Raises:
        InvalidInputError: The URL or the zone cannot be used.
        StoreUnavailableError: The server does not answer.
    """
    CronTrigger("0 0 * * *", tz=tz)
    with reading(url) as server:
        rows = [
            (key.decode("utf-8", "replace"), score, server.hgetall(key))
            for key, score in server.zrange(
                f"{key_prefix}:schedule", 0, -1, withscores=True
            )
        ]
        locked = server.exists(f"{key_prefix}:lock")
    found = (
        _read(key.removeprefix(key_prefix), score, row, tz) for key, score, row in rows
    )
    running = f"a beat holds {key_prefix}:lock" if locked else None
    return take(found, at=at, names=names, prefix=prefix, running=running)


def _read(
    name: str, score: float, row: Mapping[bytes, bytes], tz: str
) -> Schedule | Left:
    if b"definition" not in row:
        return Left(name, "it is scheduled, and its entry is gone")
    if score < 0:
        return Left(name, "nothing is to come: its rule has ended")
    try:
        data = json.loads(row[b"definition"])
        sent = _instant(json.loads(row.get(b"meta", b"{}")).get("last_run_at"))
        trigger, following = _trigger(data["schedule"], tz, sent, score)
        options, remarks = options_of(data.get("options") or {})
        options["paused"] = not data.get("enabled", True)
        args, kwargs = tuple(data.get("args") or ()), dict(data.get("kwargs") or {})
        return Schedule(
            name, data["task"], trigger, following, args, kwargs, options, remarks
        )
    except InvalidInputError as error:
        return Left(name, str(error))
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        reason = f"it is no entry of redbeat: {type(error).__name__}: {error}"
        return Left(name, reason)


def _instant(data: Mapping[str, Any] | None) -> datetime | None:
    """Read a datetime of redbeat; its zone is a name, or seconds east of UTC."""
    if data is None:
        return None
    fields = {k: v for k, v in data.items() if k not in ("__type__", "timezone")}
    zone = data.get("timezone", "UTC")
    if isinstance(zone, str):
        return datetime(**fields, tzinfo=load_zone(zone))
    return datetime(**fields, tzinfo=timezone(timedelta(seconds=zone)))


def _trigger(
    schedule: Mapping[str, Any], tz: str, sent: datetime | None, score: float
) -> tuple[Trigger, datetime | None]:
    """Return the trigger of an entry, and when it is next.

    That follows from when it was sent last.  The score that it is sorted by is cut
    to seconds, and so is often a second before the slot; it counts only for an
    entry that was never sent, which is due at once there.
    """
    kind = schedule.get("__type__")
    at_once = moment(round(score * SECOND))
    trigger: Trigger
    if kind == "interval":
        step = timedelta(seconds=schedule["every"])
        following = at_once if sent is None else sent + step
        return every(schedule["every"], following), following
    if kind == "crontab":
        trigger = from_crontab(schedule, tz)
    elif kind == "rrule":
        trigger = from_rrule(schedule, tz, sent or at_once)
    else:
        message = f"a schedule of the type {kind!r} is not known"
        raise ValueError(message)
    if sent is None:
        return trigger, at_once
    later = trigger.next_fire_time(sent)
    if later is None:
        message = "nothing is to come: its rule has ended"
        raise ValueError(message)
    return trigger, later


def options_of(options: Mapping[str, Any]) -> tuple[JobOptions, tuple[str, ...]]:
    """Return what an entry's options are here, and what has no place.

    Celery sends a task again while the last one runs; ``expires`` says how late it
    may be.
    """
    found: JobOptions = {"overlap": "allow"}
    expires = options.get("expires")
    if isinstance(expires, int | float) and expires > 0:
        found["misfire_grace"] = timedelta(seconds=expires)
    return found, tuple(
        f"the option {name}={options[name]!r} has no place here"
        for name in sorted(set(options) - {"expires"})
    )
