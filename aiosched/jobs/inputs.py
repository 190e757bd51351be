"""What a job may be given, and how each field of it is brought into form."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, TypedDict

from pydantic import WithJsonSchema

from aiosched.enums import Coalesce, OnLost, Overlap
from aiosched.errors import ConfigurationError, InvalidInputError, TriggerError
from aiosched.jobs import checks
from aiosched.jobs.retry import Retry
from aiosched.triggers.base import AnyTrigger, Trigger, trigger_from_data
from aiosched.triggers.date import DateTrigger

__all__ = [
    "CHECKS",
    "DEFAULT_KEEP",
    "JobChanges",
    "JobFields",
    "JobOptions",
    "TriggerField",
    "executor_name",
    "settle_when",
]

DEFAULT_KEEP = timedelta(days=7)
"""How long the tombstone of a job with an id of the user's stays."""

TriggerField = Annotated[
    AnyTrigger,
    WithJsonSchema(
        {
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": {"type": "string"}},
            "description": "a trigger; its kind says which fields it has",
        }
    ),
]


class _Rules(TypedDict, total=False):
    """What a job takes beside trigger, executor, args and kwargs."""

    id: str | None
    when: datetime | date | timedelta | str | None
    keyword: str | None
    queue: str | None
    paused: bool
    max_runs: int | None
    misfire_grace: timedelta | float | str | None
    coalesce: Coalesce | Literal["latest", "earliest", "all"]
    coalesce_limit: int | None
    overlap: Overlap | Literal["skip", "queue", "allow", "cancel_previous"]
    max_running: int
    jitter: timedelta | float | str
    timeout: timedelta | float | str | None
    retry: Retry | Mapping[str, Any] | None
    on_lost: OnLost | Literal["rerun", "record"]
    max_lost: int
    keep: timedelta | float | str | None
    keep_last: int
    keep_results: timedelta | float | str | None
    tags: Iterable[str]
    note: str
    meta: Mapping[str, Any]


class JobFields(_Rules, total=False):
    """What a job takes beside executor, args and kwargs; see :class:`Job`."""

    trigger: Trigger | datetime | date | str | Mapping[str, Any] | None


class JobOptions(_Rules, total=False):
    """What a job takes beside executor and trigger."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]


class JobChanges(JobFields, total=False):
    """Every field of a job that ``modify`` may change."""

    executor: object
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


def executor_name(target: object) -> str:
    """Return the name under which an executor is known unless it is given one.

    Raises:
        ConfigurationError: It has no name of its own (a lambda, a partial), or
            is nothing that could be run.
    """
    if not callable(target) and not callable(getattr(target, "run", None)):
        raise ConfigurationError(
            "executor",
            target,
            "is neither a name nor anything that can be run",
            "give the name of an executor, a function, or an Executor",
        )
    if isinstance(target, functools.partial):
        name = None
    else:
        name = getattr(target, "__name__", type(target).__name__)
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigurationError(
            "executor",
            target,
            "has no name of its own",
            'register it with name="..." and give the job that name',
        )
    return name


def settle_when(values: dict[str, Any]) -> None:
    """Turn an instant given as ``when`` into a trigger; keep a delay."""
    when = values.get("when")
    if when is None:
        return
    if values.get("trigger") is not None:
        raise TriggerError(
            "when", when, "a trigger is given as well", "give one of the two"
        )
    if isinstance(when, str) and when.lstrip("+-")[:1] in ("P", "p"):
        when = checks.duration("when", when, zero=True)
    if isinstance(when, timedelta):
        values["when"] = checks.duration("when", when, zero=True)
        return
    values["trigger"] = _instant("when", when)
    values["when"] = None


def _instant(field: str, value: object) -> Trigger:
    """Make a one-time trigger of a datetime, date or ISO text."""
    if isinstance(value, datetime) and value.utcoffset() is None:
        raise TriggerError(
            field,
            value,
            "has no time zone",
            "add one, such as datetime(2030, 1, 1, tzinfo=UTC)",
        )
    if isinstance(value, str):
        with suppress(ValueError):  # a datetime, or nothing: the trigger says which
            value = date.fromisoformat(value)
    if not isinstance(value, date | str):
        raise TriggerError(
            field,
            value,
            "is not an instant",
            "give an aware datetime, a date (midnight UTC), a timedelta as when=, "
            "or ISO 8601 text",
        )
    plain_date = isinstance(value, date) and not isinstance(value, datetime)
    try:
        return DateTrigger(value, tz="UTC" if plain_date else None)
    except TriggerError as error:
        raise TriggerError(field, value, error.problem, error.remedy) from None


def _trigger(field: str, value: object) -> Trigger | None:
    if value is None or isinstance(value, Trigger):
        return value
    if isinstance(value, Mapping):
        return trigger_from_data(value)
    if isinstance(value, timedelta | int | float):
        raise TriggerError(
            field,
            value,
            "does not say whether to run once or again and again",
            "write when=timedelta(...) or trigger=IntervalTrigger(...)",
        )
    return _instant(field, value)


def _retry(field: str, value: object) -> Retry | None:
    if value is None or isinstance(value, Retry):
        return value
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            field, value, "is no retry rule", "write Retry(attempts=3)"
        )
    try:
        return Retry(**{str(k): v for k, v in value.items()})
    except InvalidInputError as error:
        raise ConfigurationError(
            f"{field}.{error.field}", error.value, error.problem, error.remedy
        ) from None


_optional = functools.partial(checks.number, least=1, most=10**12, none=True)
_hundred = functools.partial(checks.number, least=0, most=100)
_length = functools.partial(checks.duration, zero=True, none=False)
CHECKS: dict[str, Any] = {
    "executor": functools.partial(checks.text_id, what="name of the executor"),
    "args": checks.arguments,
    "kwargs": checks.keyword_arguments,
    "id": checks.identifier,
    "trigger": _trigger,
    "when": functools.partial(checks.duration, zero=True),
    "keyword": checks.keyword,
    "queue": checks.queue,
    "paused": checks.flag,
    "max_runs": _optional,
    "misfire_grace": checks.duration,
    "coalesce": functools.partial(checks.member, words=Coalesce),
    "coalesce_limit": _optional,
    "overlap": functools.partial(checks.member, words=Overlap),
    "max_running": functools.partial(checks.number, least=1, most=checks.MAX_RUNNING),
    "jitter": _length,
    "timeout": checks.duration,
    "retry": _retry,
    "on_lost": functools.partial(checks.member, words=OnLost),
    "max_lost": _hundred,
    "keep": _length,
    "keep_last": _hundred,
    "keep_results": functools.partial(checks.duration, zero=True),
    "tags": checks.tags,
    "note": checks.free_text,
    "meta": checks.meta,
}
