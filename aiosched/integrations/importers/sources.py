"""Sources by name: what the command line can read."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aiosched.errors import ConfigurationError
from aiosched.integrations.importers.found import Found
from aiosched.integrations.importers.names import Names

__all__ = ["KINDS", "Source"]

KINDS: Mapping[str, str] = {
    "crontab": "a file, or - for standard input",
    "crontab-system": "a file with users, such as /etc/crontab",
    "apscheduler": "URL of a RedisJobStore or a SQLAlchemyJobStore, or a SQLite file",
    "rq-scheduler": "URL of its Redis",
    "redbeat": "URL of its Redis",
    "celery-beat": "MODULE:NAME of a beat_schedule, or of the Celery application",
}
"""Each kind of source, and what says where it is."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where schedules are, and how they are to be read.

    Attributes:
        kind: One of :data:`KINDS`.
        place: Where.
        names: Which executor stands for which function.
        prefix: What stands before each id; None: what the kind has by default.
        tz: The zone of the old scheduler.
        trust_pickle: Whether pickles may run any code.
        key: The key or table that holds the jobs, where it is not the usual one.
    """

    kind: str
    place: str
    names: Names = field(default_factory=Names)
    prefix: str | None = None
    tz: str = "UTC"
    trust_pickle: bool = False
    key: str | None = None

    def read(self, at: datetime) -> Found:
        """Read it.  Nothing is written, here or there.

        Args:
            at: The instant of the hand-over, aware.

        Raises:
            InvalidInputError: The kind is unknown, or the place cannot be read.
            StoreUnavailableError: Its server does not answer.
        """
        if self.kind not in KINDS:
            raise ConfigurationError(
                "source", self.kind, "is not known", f"use {', '.join(KINDS)}"
            )
        words: dict[str, Any] = {"at": at, "names": self.names}
        if self.prefix is not None:
            words["prefix"] = self.prefix
        return _READERS[self.kind](self, words)


def _crontab(source: Source, words: dict[str, Any]) -> Found:
    from aiosched.integrations.importers.crontab import read_crontab

    try:
        text = (
            sys.stdin.read()
            if source.place == "-"
            else Path(source.place).read_text("utf-8")
        )
    except OSError as error:
        raise ConfigurationError(
            "source", source.place, f"cannot be read: {error.strerror}", "name a file"
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(
            "source", source.place, "is not UTF-8", "convert it first"
        ) from None
    return read_crontab(
        text, tz=source.tz, system=source.kind == "crontab-system", **words
    )


def _apscheduler(source: Source, words: dict[str, Any]) -> Found:
    from aiosched.integrations.importers import apscheduler

    words["trust_pickle"] = source.trust_pickle
    if source.place.partition("://")[0] in ("redis", "rediss", "unix"):
        if source.key is not None:
            words["jobs_key"] = source.key
        return apscheduler.read_apscheduler_redis(source.place, **words)
    if source.key is not None:
        words["table"] = source.key
    return apscheduler.read_apscheduler_sql(source.place, **words)


def _rq_scheduler(source: Source, words: dict[str, Any]) -> Found:
    from aiosched.integrations.importers.rq_scheduler import read_rq_scheduler

    return read_rq_scheduler(
        source.place, tz=source.tz, trust_pickle=source.trust_pickle, **words
    )


def _redbeat(source: Source, words: dict[str, Any]) -> Found:
    from aiosched.integrations.importers.redbeat import read_redbeat

    if source.key is not None:
        words["key_prefix"] = source.key
    return read_redbeat(source.place, tz=source.tz, **words)


def _celery_beat(source: Source, words: dict[str, Any]) -> Found:
    from aiosched.integrations.importers.celery_beat import read_celery_beat

    module, _, name = source.place.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in (name or "beat_schedule").split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever a module of the user's can raise
        problem = f"cannot be imported: {type(error).__name__}: {error}"
        raise ConfigurationError(
            "source", source.place, problem, "write MODULE:NAME"
        ) from error
    finally:
        with suppress(ValueError):
            sys.path.remove(here)
    found = getattr(getattr(found, "conf", None), "beat_schedule", found)
    return read_celery_beat(found, tz=source.tz, **words)


_READERS: Mapping[str, Callable[[Source, dict[str, Any]], Found]] = {
    "crontab": _crontab,
    "crontab-system": _crontab,
    "apscheduler": _apscheduler,
    "rq-scheduler": _rq_scheduler,
    "redbeat": _redbeat,
    "celery-beat": _celery_beat,
}
