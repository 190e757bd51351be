"""What is logged, in the standard library's logging: names, fields, and who logs.

Everything goes to the logger ``aiosched``, or to the one that its scheduler was
given.  Each line carries ``action``, one of :data:`ACTIONS`, and the fields that are
named there; a line of a started scheduler also says which: ``peer``, ``scheduler``,
``namespace``.  ``docs/reference/logs.md`` is the list for people.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiosched.context import current_run

__all__ = ["ACTIONS", "Action", "JsonFormatter", "RunFilter", "log", "logging_to"]


class Action(NamedTuple):
    """A kind of line.

    Attributes:
        levels: At which it may come, lowest first.
        fields: What it carries beside ``action``.
        meaning: What has happened.
    """

    levels: tuple[str, ...]
    fields: tuple[str, ...]
    meaning: str


_RUN = ("job_id", "run_id", "fence", "attempt")

ACTIONS: Mapping[str, Action] = {
    "audit_lost": Action(
        ("error",), (), "an audit record is lost: the auditor was not open"
    ),
    "blocked": Action(
        ("warning",), ("seconds",), "user code held the event loop, or the host did"
    ),
    "callback_failed": Action(("error",), (), "a listener or a callback raised"),
    "claimable": Action(
        ("warning",),
        ("executor", "queue"),
        "jobs that nobody could run can be run again",
    ),
    "clock_stepped": Action(
        ("warning",),
        ("seconds", "ahead"),
        "the host's wall clock was set, and the memory store goes on by elapsed time",
    ),
    "config_dropped": Action(
        ("warning",),
        ("job_id",),
        "a job has left the configuration, and goes on until it is removed",
    ),
    "config_refused": Action(
        ("error",),
        (),
        "a configuration that was read again cannot be used; the old one stays",
    ),
    "config_reloaded": Action(
        ("info",), (), "the jobs of a configuration were read again"
    ),
    "config_restart_needed": Action(
        ("warning",),
        ("setting",),
        "a setting has changed that is read at the start only",
    ),
    "cut_off": Action(
        ("warning",), _RUN, "the end of a run is not recorded: its loop was ended"
    ),
    "data_lost": Action(
        ("critical",), (), "the store's data is another than before: jobs were lost"
    ),
    "deadman_refused": Action(
        ("warning",), ("job_id",), "a job's dead-man URL cannot be pinged"
    ),
    "declared_failed": Action(
        ("warning",), ("job_id",), "a declared job was passed over"
    ),
    "delivery_back": Action(("warning",), (), "an outlet that had failed sends again"),
    "delivery_dropped": Action(("error",), (), "items of an outlet will never go out"),
    "delivery_failed": Action(
        ("warning", "error"),
        (),
        "an outlet, or its spool, does not take what is sent; error: the spool",
    ),
    "delivery_refused": Action(("warning",), (), "an item was refused for good"),
    "failed": Action(("debug",), (), "why the command line ends, with the traceback"),
    "fenced": Action(
        ("warning",), _RUN, "the outcome of a run came too late and was not recorded"
    ),
    "guard_lost": Action(
        ("warning",),
        ("guard",),
        "a guarded name is not held any more, though it was not released",
    ),
    "health_file_failed": Action(("warning",), (), "the health file cannot be written"),
    "index_mended": Action(
        ("warning",), ("job_id", "jobs"), "an index was wrong and has been put right"
    ),
    "job_off": Action(
        ("info",), ("job_id",), "a job of a configuration is switched off"
    ),
    "lifeline_failed": Action(
        ("warning",), (), "the lifeline has failed, and goes on trying"
    ),
    "lifespan_ended": Action(
        ("debug",), (), "an application's lifespan has ended by itself"
    ),
    "lifespan_missing": Action(
        ("error",), (), "the web server has sent no lifespan: no scheduler was started"
    ),
    "no_executor": Action(
        ("warning",),
        (),
        "a peer without executors looks after the store, and runs no job",
    ),
    "observer_failed": Action(
        ("error",), (), "metrics or traces raised; told once for each kind"
    ),
    "periodic_off": Action(
        ("info",), ("job_id",), "a periodic job was switched off by its interval"
    ),
    "plugin_broken": Action(
        ("warning",), (), "an executor that a distribution brings cannot be imported"
    ),
    "provider_failed": Action(
        ("warning",), ("job_id",), "the end of a run's provider raised"
    ),
    "receiver_failed": Action(("error",), (), "the handler of a received job raised"),
    "receiver_refused": Action(
        ("warning",), (), "a request is not to be believed: its signature, or its time"
    ),
    "replies_failed": Action(
        ("error",), (), "the memory of replies cannot be read or written"
    ),
    "run_cancelled": Action(("debug",), (*_RUN, "reason"), "a run is asked to stop"),
    "run_failed": Action(
        ("info",), (*_RUN, "executor"), "an executor raised, with the traceback"
    ),
    "run_late": Action(
        ("info", "warning"),
        (*_RUN, "lateness"),
        "a run starts a second or more after it was due; info: by design",
    ),
    "run_lost": Action(("warning",), _RUN, "the lease of a run was lost"),
    "runs_late": Action(
        ("info", "warning"), (), "there are too many of them to tell of each"
    ),
    "scheduler_ended": Action(("info",), (), "the scheduler has ended"),
    "scheduler_started": Action(("info",), (), "the scheduler has started"),
    "service_down": Action(
        ("warning",), ("service",), "a service fails, and the store answers others"
    ),
    "service_failed": Action(("critical",), (), "the scheduler has failed"),
    "service_up": Action(("warning",), ("service",), "that service goes on again"),
    "setup_failed": Action(
        ("error",), ("executor",), "an executor's setup raised, after the start"
    ),
    "shutdown_failed": Action(
        ("error",), (), "the scheduler of an application has failed"
    ),
    "spool_failed": Action(
        ("error",), (), "the file of an outlet cannot be read or written; tried again"
    ),
    "start_delayed": Action(
        ("warning",),
        (),
        "an application's scheduler cannot be started yet, and will be",
    ),
    "start_failed": Action(
        ("error",), (), "an application's scheduler cannot be started"
    ),
    "startup_failed": Action(
        ("error", "critical"),
        (),
        "the scheduler has not started, and its application ends",
    ),
    "store_awaited": Action(
        ("warning",), (), "the store does not answer yet, and is waited for"
    ),
    "store_down": Action(("warning",), ("service",), "the store is away"),
    "store_up": Action(("warning",), (), "the store is back"),
    "teardown_failed": Action(
        ("error",), ("executor",), "an executor's teardown raised"
    ),
    "teardown_slow": Action(
        ("error",), ("executor",), "an executor's teardown took too long: cancelled"
    ),
    "unclaimable": Action(
        ("warning",),
        ("job_id", "executor", "queue"),
        "jobs are due that no live peer can run",
    ),
    "uncooperative": Action(
        ("warning",), (*_RUN, "reason"), "a run that was cancelled does not end"
    ),
    "unreadable": Action(
        ("error",), ("key",), "something in the store cannot be read; told once a day"
    ),
    "unresolvable": Action(
        ("error",), (*_RUN, "executor"), "a run was claimed and cannot be made"
    ),
    "unsaid": Action(
        ("warning",), (), "the scheduler left without the store hearing of it"
    ),
}


class _Scope(NamedTuple):
    logger: logging.Logger
    fields: Mapping[str, object]


_HOUSE = _Scope(logging.getLogger("aiosched"), {})
_scope: ContextVar[_Scope] = ContextVar("aiosched_log", default=_HOUSE)


class _Log(logging.LoggerAdapter[logging.Logger]):
    """The log of whichever scheduler the running code belongs to."""

    def __init__(self) -> None:
        """Know no scheduler: the context does."""
        super().__init__(_HOUSE.logger, {})

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log with the scheduler's logger, which says who it is."""
        scope = _scope.get()
        if scope.logger.isEnabledFor(level):
            kwargs["extra"] = {**scope.fields, **kwargs.get("extra", {})}
            # The frame between the caller's and the logger's own is this one.
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            scope.logger.log(level, msg, *args, **kwargs)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Leave a line as it is."""
        return msg, kwargs


log: _Log = _Log()
"""What everything here logs with."""


@contextmanager
def logging_to(logger: logging.Logger, **fields: object) -> Iterator[None]:
    """Let all that is begun within log for one scheduler.

    Args:
        logger: Where to.
        **fields: What each line says beside its own.
    """
    token = _scope.set(_Scope(logger, fields))
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine that is disposed of, elsewhere
            _scope.reset(token)


# -- for the logging configuration of users ---------------------------------------


def _run_fields() -> dict[str, object]:
    run = current_run()
    if run is None:
        return {}
    return {
        "job_id": run.job_id,
        "run_id": run.run_id,
        "fence": run.fence,
        "attempt": run.attempt,
    }


class RunFilter(logging.Filter):
    """Adds to each line that is logged during a run which run that is.

    ``job_id``, ``run_id``, ``fence`` and ``attempt``, also for lines of libraries,
    from the tasks that a run begins and from the thread of a plain function.  Put it
    on a *handler*: a logger asks its filters for its own lines only.  What a line
    carries already stays as it is.

    Args:
        default: What they are outside of runs, so that a format may name them.
    """

    def __init__(self, default: str = "-") -> None:
        """Take every line."""
        super().__init__()
        self._default = default

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; every line passes."""
        known, found = record.__dict__, _run_fields()
        for name in _RUN:
            if name not in known:
                known[name] = found.get(name, self._default)
        return True


_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_FIRST = ("time", "level", "logger", "message")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: for whoever gathers logs.

    ``time`` (RFC 3339, UTC, milliseconds), ``level``, ``logger``, ``message``; all
    that a line carries in ``extra``; of the run that it belongs to ``job_id``,
    ``run_id``, ``fence`` and ``attempt``; of an exception ``error`` (its class) and
    ``traceback``.  What JSON cannot say is written as text, and whatever is logged
    gives one line of ASCII.  A field of ``extra`` named as one of the first four, or
    as one of the exception's two, has ``_`` behind its name.

    Args:
        fields: What every line says, such as ``{"service": "billing"}``.
    """

    def __init__(self, fields: Mapping[str, object] | None = None) -> None:
        """Write these with each line."""
        super().__init__()
        self._fields = dict(fields or {})

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        when = datetime.fromtimestamp(record.created, UTC)
        said: dict[str, object] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        reserved = {*_FIRST, "error", "traceback"}
        for name, value in {**self._fields, **_run_fields()}.items():
            said[f"{name}_" if name in reserved else name] = _plain(value)
        for name, value in record.__dict__.items():
            if name not in _OWN:
                said[f"{name}_" if name in reserved else name] = _plain(value)
        if record.exc_info and record.exc_info[0] is not None:
            said["error"] = record.exc_info[0].__name__
            said["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            said["stack"] = self.formatStack(record.stack_info)
        return json.dumps(said, separators=(",", ":"))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # arguments that do not fit their text
        return f"{record.msg!r} % {record.args!r} ({error!r})"


def _plain(value: object) -> object:
    """Return what JSON can say of a value."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    try:
        return json.loads(json.dumps(value, default=repr, allow_nan=False))
    except Exception:  # it holds itself, infinities, or what cannot even be shown
        return _shown(value)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__}, which cannot be shown: {error!r}>"
