"""What a Flask application says of its scheduler: ``AIOSCHED_*`` of its config."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiosched.errors import ConfigurationError, InvalidInputError
from aiosched.jobs import Job
from aiosched.triggers.base import Trigger
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.inputs import zone_name
from aiosched.triggers.kinds import trigger_class, trigger_from_data, trigger_kinds

__all__ = ["PREFIX", "Declared", "Settings", "jobs_of", "settings_of", "split_words"]

PREFIX = "AIOSCHED_"
OPTIONS = (
    *("STORE", "NAMESPACE", "NAME", "RUN_JOBS", "QUEUES", "REVISION", "LEASE"),
    *("MAX_CONCURRENCY", "MAX_PAYLOAD", "TERMS"),
)
"""Those of the scheduler itself."""

OTHERS = ("JOBS", "JOB_DEFAULTS", "START", "TIMEZONE")
STARTS = ("auto", "now", "never")

_CRON = frozenset(
    ("second", "minute", "hour", "day", "month", "day_of_week", "week", "year")
)
_RENAMED = {
    "max_instances": "max_running",
    "misfire_grace_time": "misfire_grace",
    "replace_existing": "nothing: a declared job replaces what is stored",
    "start_date": "start",
    "end_date": "end",
    "run_date": 'trigger="date", at=...',
    "timezone": "tz",
    "executor": "queue, or func for the function",
    "jobstore": "AIOSCHED_STORE for the application",
    "name": "note",
}
"""Words of flask-apscheduler, and ours for them."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A job that the configuration declares.

    Attributes:
        name: What its executor is called: the path of the function.
        function: What it runs.
        trigger: When.
        options: The others of :class:`aiosched.Job`.
    """

    name: str
    function: Callable[..., Any]
    trigger: Trigger | None
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """The keys of a configuration, checked.

    Attributes:
        options: Of the scheduler.
        defaults: Options of each job that does not say otherwise.
        tz: Zone of triggers that name none.
        start: When the scheduler starts.
        jobs: What is declared.
    """

    options: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    tz: str | None = None
    start: str = "auto"
    jobs: tuple[Declared, ...] = ()


def settings_of(config: Mapping[str, Any]) -> Settings:
    """Read the configuration of an application.

    Raises:
        ConfigurationError: There is no such key, or a value cannot be used;
            ``field`` is the key, and the path inside it.
    """
    given = {key.removeprefix(PREFIX): value for key, value in _ours(config)}
    for key, value in given.items():
        if key not in (*OPTIONS, *OTHERS):
            known = ", ".join(sorted(PREFIX + each for each in (*OPTIONS, *OTHERS)))
            raise ConfigurationError(
                PREFIX + key, value, "is not known", f"write one of {known}"
            )
    options = {key.lower(): given[key] for key in OPTIONS if key in given}
    start = given.get("START", "auto")
    if start not in STARTS:
        raise ConfigurationError(
            f"{PREFIX}START",
            start,
            "is not known",
            'write "auto", "now" or "never"',
        )
    zone = given.get("TIMEZONE")
    tz = None if zone is None else _at(f"{PREFIX}TIMEZONE", zone_name, zone)
    defaults = _defaults(given.get("JOB_DEFAULTS"))
    jobs = jobs_of(
        given.get("JOBS", ()), defaults=defaults, tz=tz, name=f"{PREFIX}JOBS"
    )
    return Settings(options, defaults, tz, start, jobs)


def _ours(config: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((key, value) for key, value in config.items() if key.startswith(PREFIX))


def _defaults(given: object) -> dict[str, Any]:
    name = f"{PREFIX}JOB_DEFAULTS"
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            name, given, "is not a mapping", 'write {"misfire_grace": 30}'
        )
    found = {str(key): value for key, value in given.items()}
    for key in ("id", "trigger", "when", "func"):
        if key in found:
            raise ConfigurationError(
                f"{name}.{key}", found[key], "is each job's own", "leave it out"
            )
    _refuse_renamed(found, name)
    _at(name, lambda words: Job("any", **words), found)
    return found


def jobs_of(
    jobs: object, *, defaults: Mapping[str, Any], tz: str | None, name: str
) -> tuple[Declared, ...]:
    """Read a list of jobs, and import what they run.

    Each is a mapping with ``id``, ``func`` (``"module:function"``, or the function
    itself), the words of its trigger as for :func:`split_words`, and any option
    of a job.

    Args:
        jobs: The list.
        defaults: Options of each that does not say otherwise.
        tz: Zone of triggers that name none.
        name: What the list is called in errors.

    Raises:
        ConfigurationError: One cannot be used; ``field`` names it.
    """
    if isinstance(jobs, str | Mapping) or not isinstance(jobs, Iterable):
        raise ConfigurationError(
            name, jobs, "is not a list of jobs", 'write [{"id": ..., "func": ...}]'
        )
    found: dict[str, Declared] = {}
    for number, one in enumerate(jobs):
        declared = _declared(f"{name}[{number}]", one, defaults, tz)
        job_id = str(declared.options["id"])
        if job_id in found:
            raise ConfigurationError(
                f"{name}[{number}].id",
                job_id,
                "is another job's",
                "give each an id of its own",
            )
        found[job_id] = declared
    return tuple(found.values())


def _declared(
    path: str, one: object, defaults: Mapping[str, Any], tz: str | None
) -> Declared:
    if not isinstance(one, Mapping):
        raise ConfigurationError(path, one, "is not a mapping", "write a dict")
    words = {str(key): value for key, value in one.items()}
    for key in ("id", "func"):
        if words.get(key) is None:
            raise ConfigurationError(
                f"{path}.{key}", None, "is missing", "each job needs it"
            )
    func = words.pop("func")
    function = _function(f"{path}.func", func)
    trigger, options = _at(path, lambda given: split_words(given, tz=tz), words)
    options = {**defaults, **options}
    _at(path, lambda given: Job("any", trigger=trigger, **given), options)
    label = func if isinstance(func, str) else _label(function)
    return Declared(label, function, trigger, options)


def split_words(
    words: Mapping[str, Any], *, tz: str | None = None
) -> tuple[Trigger | None, dict[str, Any]]:
    """Take the words of a trigger out of those of a job.

    ``trigger`` is a trigger, a mapping with its kind, or the word of a kind, whose
    fields stand beside it: ``{"trigger": "interval", "seconds": 10}``.  Those of
    cron are an expression, or the fields of :meth:`aiosched.CronTrigger.of`.

    Returns:
        The trigger, None where there is none; and the words that are left.

    Raises:
        InvalidInputError: A word that there is not, or a wrong trigger.
    """
    left = dict(words)
    _refuse_renamed(left, "")
    kind = left.pop("trigger", None)
    if kind is None or isinstance(kind, Trigger):
        return kind, left
    if isinstance(kind, Mapping):
        return trigger_from_data(kind), left
    cls = trigger_class(kind)
    if cls is None:
        raise ConfigurationError(
            "trigger",
            kind,
            "is not the kind of a trigger",
            f"write one of {', '.join(trigger_kinds())}, or give a trigger",
        )
    names = {*cls.model_fields} - {"kind"}
    if cls is CronTrigger:
        names |= _CRON
    said = {name: left.pop(name) for name in names & left.keys()}
    if tz is not None and "tz" in names:
        said.setdefault("tz", tz)
    if cls is CronTrigger and _CRON & said.keys():
        if said.get("week") == "*":
            del said["week"]  # each week is a matter of course
        return CronTrigger.of(**said), left
    return trigger_from_data({"kind": kind, **said}), left


def _refuse_renamed(words: Mapping[str, Any], path: str) -> None:
    for key in words:
        if key in _RENAMED:
            raise ConfigurationError(
                f"{path}.{key}" if path else key,
                words[key],
                "is a word of another library",
                f"write {_RENAMED[key]}",
            )


def _function(path: str, func: object) -> Callable[..., Any]:
    if callable(func):
        return func
    if not isinstance(func, str) or func.count(":") != 1:
        raise ConfigurationError(
            path, func, "names no function", 'write "package.module:function"'
        )
    module, _, name = func.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            path,
            func,
            f"cannot be imported: {error}",
            "correct the path; what is defined inside a function has none",
        ) from error
    if not callable(found):
        raise ConfigurationError(path, func, "cannot be called", "name a function")
    called: Callable[..., Any] = found
    return called


def _label(function: Callable[..., Any]) -> str:
    module = getattr(function, "__module__", "")
    return f"{module}:{getattr(function, '__qualname__', type(function).__name__)}"


def _at(path: str, read: Callable[[Any], Any], value: Any) -> Any:
    """Read a value; what is wrong with it is told with its path."""
    try:
        return read(value)
    except InvalidInputError as error:
        where = error.field if error.field.startswith(path) else f"{path}.{error.field}"
        if read is zone_name:
            where = path
        raise ConfigurationError(
            where, error.value, error.problem, error.remedy
        ) from error
