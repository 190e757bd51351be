"""What can be set: each setting with its check, its default and its meaning.

The reference page, the variables of the environment and the file that
``aiosched init`` writes are made of these classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from types import MappingProxyType
from typing import Any, ClassVar

from aiosched._api import options
from aiosched.config.filling import plain
from aiosched.errors import ConfigurationError
from aiosched.jobs import checks
from aiosched.registry import MAX_PAYLOAD
from aiosched.stores import masked, open_store

__all__ = ["LEVELS", "Option", "RunSettings", "SchedulerSettings", "options_of"]

LEVELS = ("debug", "info", "warning", "error", "critical")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Option:
    """How one setting is read.

    Attributes:
        kind: What a text of the environment is read as: ``text``, ``number``,
            ``flag``, ``duration``, ``list`` or ``table``.
        check: Takes name and value; returns the value as it is kept, or refuses it.
        meaning: One sentence for people; with bounds, units, and what none means.
        example: How it is written in TOML.
        secret: Whether it may also be named by a file, as ``<name>_file``.
    """

    kind: str
    check: Callable[[str, Any], Any]
    meaning: str
    example: str
    secret: bool = False


def _setting(
    kind: str,
    check: Callable[[str, Any], Any],
    meaning: str,
    example: str,
    *,
    default: Any = None,
    secret: bool = False,
) -> Any:
    option = Option(kind, check, meaning, example, secret)
    return field(default=default, metadata={"option": option})


def options_of(settings: type) -> dict[str, Option]:
    """Return the settings of a class by their names, in order."""
    return {one.name: one.metadata["option"] for one in fields(settings)}


# -- checks -----------------------------------------------------------------------


def _store(name: str, value: Any) -> str:
    text = plain(value)
    open_store(text)
    if not isinstance(text, str):
        raise ConfigurationError(name, value, "is no URL", 'write "memory://"')
    return text


def _namespace(_: str, value: Any) -> str:
    return options.namespace_of(plain(value))


def _name(name: str, value: Any) -> str:
    return checks.text_id(name, plain(value), what="name")


def _queues(_: str, value: Any) -> tuple[str, ...] | None:
    return options.queues_of(plain(value))


def _revision(name: str, value: Any) -> int:
    checks.number(name, value, least=0, most=2**31)
    return int(value)


def _lease(_: str, value: Any) -> timedelta:
    length = checks.duration("lease", plain(value), none=False)
    options.terms_of(None, length)
    return length or timedelta(0)


def _terms(_: str, value: Any) -> Mapping[str, Any]:
    given = plain(value)
    if isinstance(given, Mapping):
        given = {
            name: checks.duration(f"terms.{name}", each, zero=True)
            if isinstance(each, str)
            else each
            for name, each in given.items()
        }
    options.terms_of(given, None)
    return MappingProxyType(dict(given))


def _target(name: str, value: Any) -> str:
    text = plain(value)
    if not isinstance(text, str) or _TARGET.fullmatch(text) is None:
        raise ConfigurationError(
            name, value, "names nothing", 'write "module:name", such as "shop.app:main"'
        )
    return text


def _modules(name: str, value: Any) -> tuple[str, ...]:
    given = plain(value)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigurationError(
            name, value, "is no list of modules", f'write {name} = ["shop.jobs"]'
        )
    modules = tuple(given)
    for number, each in enumerate(modules):
        if not isinstance(each, str) or _MODULE.fullmatch(each) is None:
            raise ConfigurationError(
                f"{name}[{number}]", each, "is no name of a module", "correct it"
            )
    return modules


def _path(name: str, value: Any) -> str:
    text = plain(value)
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigurationError(name, value, "names no file", "write a path")
    return text


def _grace(_: str, value: Any) -> timedelta | None:
    if value == "none":
        return None
    return checks.duration("grace", plain(value), zero=True, none=False)


def _level(name: str, value: Any) -> str:
    text = plain(value)
    if isinstance(text, str) and text.lower() in LEVELS:
        return text.lower()
    known = ", ".join(LEVELS)
    raise ConfigurationError(name, value, "is no level of logs", f"use {known}")


# -- the settings -----------------------------------------------------------------


class _Shown:
    """A ``repr`` that never has a password in it."""

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in self.shown().items())
        return f"{type(self).__name__}({', '.join(shown)})"

    def shown(self) -> dict[str, Any]:
        """Return the settings that differ from their defaults, without secrets."""
        given: dict[str, Any] = {}
        for one in fields(self):  # type: ignore[arg-type] # each is a dataclass
            value = getattr(self, one.name)
            if value == one.default:
                continue
            option: Option = one.metadata["option"]
            given[one.name] = masked(value) if option.secret else value
        return given


@dataclass(frozen=True, repr=False)
class SchedulerSettings(_Shown):
    """The settings of the scheduler itself; see :class:`aiosched.Scheduler`.

    Attributes:
        store: URL of the store; None: in memory.
        namespace: Jobs of one namespace know nothing of another's.
        name: What people call this peer; None: its id.
        run_jobs: False makes a client.
        queues: Those that it serves; None: all.
        revision: Of the code and of the file.
        lease: How long a claim holds; None: what the namespace has.
        max_concurrency: Runs at a time, at most.
        max_payload: Bytes that arguments or a payload may have.
        terms: Further terms to insist on.
    """

    section: ClassVar[str] = "scheduler"

    store: str | None = _setting(
        "text",
        _store,
        "URL of the store; without it jobs are kept in memory, for this process alone.",
        '"redis://localhost:6379/0"',
        secret=True,
    )
    namespace: str = _setting(
        "text",
        _namespace,
        "Jobs of one namespace know nothing of another's; 1 to 100 characters.",
        '"shop"',
        default="aiosched",
    )
    name: str | None = _setting(
        "text",
        _name,
        "What people call this peer, 1 to 200 characters; without it, its id.",
        '"worker-1"',
    )
    run_jobs: bool = _setting(
        "flag",
        checks.flag,
        "`false` makes a client, which schedules and fires but runs nothing.",
        "true",
        default=True,
    )
    queues: tuple[str, ...] | None = _setting(
        "list",
        _queues,
        "Run only jobs of these queues; without it, of all.",
        '["mail"]',
    )
    revision: int = _setting(
        "number",
        _revision,
        "Of code and file, 0 to 2**31; a declared job is never replaced by that of a "
        "lower revision.",
        "3",
        default=0,
    )
    lease: timedelta | None = _setting(  # noqa: RUF009 - it is a field
        "duration",
        _lease,
        "How long a claim holds unless it is extended, at least 0.1 s; fixed for the "
        "namespace by its first peer, 15 s if that does not say.",
        "15",
    )
    max_concurrency: int = _setting(
        "number",
        options.at_least_one,
        "Runs that this peer has at a time, 1 or more.",
        "100",
        default=100,
    )
    max_payload: int = _setting(
        "number",
        options.at_least_one,
        "Bytes that arguments or a payload may have, 1 or more.",
        "1048576",
        default=MAX_PAYLOAD,
    )
    terms: Mapping[str, Any] | None = _setting(
        "table",
        _terms,
        "Further terms of the namespace to insist on; see "
        "[Run several peers](../howto/run-several-peers.md).",
        "{ beat = 2 }",
    )

    def __hash__(self) -> int:
        return hash((self.store, self.namespace, self.name))


@dataclass(frozen=True, repr=False)
class RunSettings(_Shown):
    """The settings of ``aiosched run``.

    Attributes:
        app: A function that is given the scheduler before it starts; or a module's
            scheduler; None: nothing but the file.
        app_dir: The folder in which modules are looked for first.
        imports: Modules that are imported before the start.
        grace: How long runs may take to end; None: as long as they take.
        log_level: Of the logs.
        pidfile: Where the number of the process is written; None: nowhere.
    """

    section: ClassVar[str] = "run"

    app: str | None = _setting(
        "text",
        _target,
        "A function `module:name` that is called with the scheduler before it starts, "
        "to register executors and to declare jobs; with the configuration as well if "
        "it takes two, and awaited if it is a coroutine function.",
        '"shop.app:set_up"',
    )
    app_dir: str | None = _setting(
        "text",
        _path,
        "The folder in which modules are looked for first, as seen from the file; "
        "without it the command line looks in the current folder.",
        '"src"',
    )
    imports: tuple[str, ...] = _setting(
        "list",
        _modules,
        "Modules to import before the start, such as those that define triggers.",
        '["shop.triggers"]',
        default=(),
    )
    grace: timedelta | None = _setting(  # noqa: RUF009 - it is a field
        "duration",
        _grace,
        'How long runs may take to end after the first signal; "none": as long as '
        "they take.",
        "30",
        default=timedelta(seconds=30),
    )
    log_level: str = _setting(
        "text",
        _level,
        "`debug`, `info`, `warning`, `error` or `critical`.",
        '"info"',
        default="info",
    )
    pidfile: str | None = _setting(
        "text",
        _path,
        "Where the number of the process is written while it runs, as seen from the "
        "current folder; without it, nowhere.",
        '"/run/shop.pid"',
    )
