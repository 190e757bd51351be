"""APScheduler 3: its job stores in Redis and in databases, read only.

The stores hold pickles, which are read without running anything in them (see
:mod:`~aiosched.integrations.importers.pickles`).
"""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiosched.errors import ConfigurationError, InvalidInputError
from aiosched.instants import SECOND, micros, moment
from aiosched.integrations.importers.aps_triggers import jitter_of, trigger_of
from aiosched.integrations.importers.found import Found, Left, Schedule, take
from aiosched.integrations.importers.names import Names
from aiosched.integrations.importers.pickles import UnsafeError, read_pickle
from aiosched.integrations.importers.servers import reading
from aiosched.jobs import JobOptions, checks
from aiosched.triggers.base import Trigger
from aiosched.triggers.date import DateTrigger

__all__ = ["read_apscheduler_redis", "read_apscheduler_sql"]

_LEAST_GRACE = 60
_TABLE = "apscheduler_jobs"


def read_apscheduler_redis(
    url: str,
    *,
    at: datetime,
    names: Names,
    prefix: str = "",
    trust_pickle: bool = False,
    jobs_key: str = "apscheduler.jobs",
) -> Found:
    """Read the jobs of a ``RedisJobStore``.

    Args:
        url: Of the server and the database.
        at: The instant of the hand-over, aware; for paused jobs alone, since all
            others say when they are next.
        names: Which executor stands for which function (``module:name``).
        prefix: What stands before each id here.
        trust_pickle: Whether pickles may run any code.
        jobs_key: The hash that holds the jobs.

    Raises:
        ConfigurationError: The URL cannot be used.
        StoreUnavailableError: The server does not answer.
    """
    with reading(url) as server:
        rows = {
            key.decode("utf-8", "replace"): value
            for key, value in server.hgetall(jobs_key).items()
        }
    found = _schedules(rows.items(), trust=trust_pickle)
    return take(found, at=at, names=names, prefix=prefix)


def read_apscheduler_sql(
    url: str,
    *,
    at: datetime,
    names: Names,
    prefix: str = "",
    trust_pickle: bool = False,
    table: str = _TABLE,
) -> Found:
    """Read the jobs of a ``SQLAlchemyJobStore``.

    Args:
        url: ``sqlite:///path`` or the path of a SQLite file, which need nothing
            else; or any URL of SQLAlchemy, where that is installed.
        at: As for :func:`read_apscheduler_redis`.
        names: As there.
        prefix: As there.
        trust_pickle: As there.
        table: Name of the table.

    Raises:
        ConfigurationError: The database or the table cannot be read.
    """
    if not table.isidentifier():
        raise ConfigurationError(
            "table", table, "is no name of a table", f"write one such as {_TABLE}"
        )
    scheme, mark, rest = url.partition("://")
    if not mark or scheme == "sqlite":
        rows = _sqlite(Path(rest.removeprefix("/") if mark else url), table)
    else:
        rows = _sqlalchemy(url, table)
    found = _schedules(rows, trust=trust_pickle)
    return take(found, at=at, names=names, prefix=prefix)


def _sqlite(path: Path, table: str) -> list[tuple[str, bytes]]:
    if not path.is_file():
        raise ConfigurationError(
            "source", str(path), "is no file", "write sqlite:///PATH of the job store"
        )
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as database:
            query = f"SELECT id, job_state FROM {table}"  # noqa: S608 - an identifier
            return list(database.execute(query))
    except sqlite3.Error as error:
        raise _unread(str(path), error) from None


def _sqlalchemy(url: str, table: str) -> list[tuple[str, bytes]]:
    try:
        sqlalchemy: Any = importlib.import_module("sqlalchemy")
    except ImportError:
        raise ConfigurationError(
            "source",
            url.partition("://")[0],
            "is a database that needs SQLAlchemy",
            "pip install 'aiosched[sqlalchemy]' and the driver of the database",
        ) from None
    kind = url.partition("://")[0]
    try:
        engine = sqlalchemy.create_engine(url)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        raise _unread(kind, type(error).__name__) from None
    try:
        with engine.connect() as database:
            columns = (sqlalchemy.column("id"), sqlalchemy.column("job_state"))
            query = sqlalchemy.select(*columns).select_from(sqlalchemy.table(table))
            return [(str(one), bytes(state)) for one, state in database.execute(query)]
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise _unread(kind, error) from None
    finally:
        engine.dispose()


def _unread(source: str, error: Exception | str) -> ConfigurationError:
    return ConfigurationError(
        "source", source, f"cannot be read: {error}", "give the URL of the job store"
    )


def _schedules(
    rows: Iterable[tuple[str, bytes]], *, trust: bool
) -> Iterator[Schedule | Left]:
    for job_id, data in rows:
        try:
            state = read_pickle(data, trust=trust)
            yield _schedule(job_id, state)
        except (UnsafeError, InvalidInputError) as error:
            yield Left(job_id, str(error))
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            reason = f"it is no job of APScheduler 3: {type(error).__name__}: {error}"
            yield Left(job_id, reason)


def _unshaken(trigger: Trigger, following: datetime, jitter: float) -> datetime:
    """Return the slot whose jitter makes it due at ``following``."""
    due, most = micros(following), round(jitter * SECOND)
    slot = trigger.last(due)
    if slot is not None and due - slot <= most:
        return moment(slot)
    slot = trigger.next(due)  # versions before 3.6 make slots early, too
    if slot is not None and slot - due <= most:
        return moment(slot)
    return following


def _schedule(job_id: str, state: Mapping[str, Any]) -> Schedule | Left:
    if state.get("version") != 1:
        return Left(job_id, f"version {state.get('version')!r} of a job is not known")
    following: datetime | None = state["next_run_time"]
    shape = state["trigger"]
    trigger = trigger_of(shape, following)
    options: dict[str, Any] = {"paused": following is None, "overlap": "skip"}
    if following is None and isinstance(trigger, DateTrigger):
        following = trigger.at
    options["max_running"] = min(int(state["max_instances"]), checks.MAX_RUNNING)
    options["coalesce"] = "latest" if state["coalesce"] else "all"
    remarks: list[str] = []
    grace = state["misfire_grace_time"]
    if grace is None:
        if not state["coalesce"]:  # else the newest slot is never too late anyway
            options["misfire_grace"] = checks.MAX_DURATION
    elif grace > _LEAST_GRACE:
        options["misfire_grace"] = timedelta(seconds=grace)
    else:
        remarks.append(
            f"misfire_grace_time was {grace} s: here the newest slot that is due is "
            "never too late, unless the job is given a misfire_grace"
        )
    if jitter := jitter_of(shape):
        if following is not None:
            following = _unshaken(trigger, following, jitter)
        options["jitter"] = timedelta(seconds=jitter)
        remarks.append("jitter puts slots off here, and never makes them early")
    if state.get("name") not in (None, "", state["func"]):
        options["note"] = str(state["name"])[: checks.MAX_NOTE]
    known: JobOptions = options  # type: ignore[assignment]
    args, kwargs = tuple(state["args"]), dict(state["kwargs"])
    return Schedule(
        job_id, state["func"], trigger, following, args, kwargs, known, tuple(remarks)
    )
