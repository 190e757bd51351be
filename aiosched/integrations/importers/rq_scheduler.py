"""rq-scheduler: its sorted set of jobs in Redis, read only.

What a job calls is a pickle (or JSON) of name and arguments; a pickle is read
without running anything in it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from aiosched.errors import InvalidInputError
from aiosched.instants import SECOND, moment
from aiosched.integrations.importers.aps_triggers import interval_on
from aiosched.integrations.importers.found import Found, Left, Schedule, take
from aiosched.integrations.importers.names import Names
from aiosched.integrations.importers.pickles import UnsafeError, read_pickle
from aiosched.integrations.importers.servers import reading
from aiosched.jobs import JobOptions
from aiosched.triggers.base import Trigger
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.date import DateTrigger

__all__ = ["read_rq_scheduler"]

_KEY = "rq:scheduler:scheduled_jobs"
_LOCK = "rq:scheduler_lock"
_MOST_INFLATED = 4_000_000


def read_rq_scheduler(
    url: str,
    *,
    at: datetime,
    names: Names,
    prefix: str = "",
    tz: str = "UTC",
    trust_pickle: bool = False,
) -> Found:
    """Read the scheduled jobs.

    Args:
        url: Of the server and the database.
        at: The instant of the hand-over, aware; each job says when it is next.
        names: Which executor stands for which function (``module.name``).
        prefix: What stands before each id here.
        tz: The zone of the machine on which ``rqscheduler`` runs; its cron
            expressions are wall time there.
        trust_pickle: Whether pickles may run any code.

    Raises:
        InvalidInputError: The URL or the zone cannot be used.
        StoreUnavailableError: The server does not answer.
    """
    CronTrigger("0 0 * * *", tz=tz)  # a wrong zone is refused, not told job by job
    with reading(url) as server:
        rows = [
            (key.decode("utf-8", "replace"), score, server.hgetall(b"rq:job:" + key))
            for key, score in server.zrange(_KEY, 0, -1, withscores=True)
        ]
        running = _running(server)
    found = (_read(*row, tz=tz, trust=trust_pickle) for row in rows)
    return take(found, at=at, names=names, prefix=prefix, running=running)


def _running(server: Any) -> str | None:
    if server.exists(_LOCK):
        return f"a scheduler holds {_LOCK}"
    for key in server.scan_iter("rq:scheduler_instance:*"):
        if server.hget(key, "birth") and not server.hexists(key, "death"):
            return f"{key.decode('utf-8', 'replace')} is alive, or was a minute ago"
    return None


def _read(
    job_id: str, score: float, row: Mapping[bytes, bytes], *, tz: str, trust: bool
) -> Schedule | Left:
    if b"data" not in row:
        return Left(job_id, "it is scheduled, and its job is gone (expired or deleted)")
    try:
        return _schedule(job_id, score, row, tz=tz, trust=trust)
    except (UnsafeError, InvalidInputError) as error:
        return Left(job_id, str(error))
    except (LookupError, TypeError, ValueError, OverflowError, zlib.error) as error:
        return Left(job_id, f"it is no job of rq: {type(error).__name__}: {error}")


def _schedule(
    job_id: str, score: float, row: Mapping[bytes, bytes], *, tz: str, trust: bool
) -> Schedule | Left:
    does, instance, args, kwargs = _loads(_inflated(row[b"data"]), trust=trust)
    if instance is not None:
        return Left(job_id, f"{does} is a method of an object, which cannot be moved")
    meta = _loads(row[b"meta"], trust=trust) if row.get(b"meta") else {}
    following = moment(round(score * SECOND))
    options: JobOptions = {"overlap": "allow"}
    remarks = list(_said(row, options))
    trigger: Trigger
    if meta.get("interval"):
        trigger = interval_on(timedelta(seconds=int(meta["interval"])), None, following)
    elif meta.get("cron_string"):
        trigger = _cron(str(meta["cron_string"]), tz)
    else:
        trigger = DateTrigger(following)
    if not isinstance(trigger, DateTrigger) and meta.get("repeat") is not None:
        # One that has come down to 0 is run once more there.
        options["max_runs"] = max(1, int(meta["repeat"]))
    return Schedule(
        job_id,
        str(does),
        trigger,
        following,
        tuple(args),
        dict(kwargs),
        options,
        tuple(remarks),
    )


def _said(row: Mapping[bytes, bytes], options: JobOptions) -> Iterator[str]:
    """Take over what else the job says; tell what has no place here."""
    seconds = row.get(b"timeout", b"").decode()
    if seconds.isdigit() and int(seconds) > 0:
        options["timeout"] = timedelta(seconds=int(seconds))
    origin = row.get(b"origin", b"").decode("utf-8", "replace")
    if origin not in ("", "default"):
        yield f"it went to the queue {origin}; here the executor's queue counts"
    for name in (b"success_callback_name", b"failure_callback_name"):
        if row.get(name):
            yield f"{name.decode()} has no place here: use add_done_callback()"
    if row.get(b"dependency_ids", b"[]") not in (b"[]", b""):
        yield "it waited for other jobs, which is not kept"


def _inflated(data: bytes) -> bytes:
    try:
        inflater = zlib.decompressobj()
        found = inflater.decompress(data, _MOST_INFLATED)
    except zlib.error:
        return data  # older versions do not compress
    if inflater.unconsumed_tail:
        raise UnsafeError(f"its data has more than {_MOST_INFLATED:,} bytes")
    return found


def _loads(data: bytes, *, trust: bool) -> Any:
    """Read what the serializer of rq wrote: a pickle, or JSON."""
    if data[:1] in (b"[", b"{"):
        return json.loads(data)
    return read_pickle(data, trust=trust)


def _cron(text: str, tz: str) -> CronTrigger:
    """Read an expression of the package ``crontab``, where all fields must match.

    A sixth field there is the year; of seven the first is the second.
    """
    fields = text.split()
    seconds = len(fields) == 7
    if len(fields) in (6, 7) and fields[-1] == "*":
        fields = fields[:-1]
    if seconds:
        return CronTrigger(" ".join(fields), tz=tz, seconds="first", day_or=False)
    return CronTrigger(" ".join(fields), tz=tz, day_or=False)
