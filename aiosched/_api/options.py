"""The options of a scheduler, checked before anything is opened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from aiosched.abc import Terms
from aiosched.errors import ConfigurationError
from aiosched.instants import micros, span
from aiosched.jobs import checks
from aiosched.triggers.base import FIRST_INSTANT, LAST_INSTANT

__all__ = [
    "at_least_one",
    "callable_of",
    "clock_of",
    "grace_of",
    "instant_of",
    "length_of",
    "logger_of",
    "namespace_of",
    "optional_text",
    "queues_of",
    "terms_of",
]

MAX_SHARDS = 4096
_DURATIONS = frozenset(("lease", "beat", "member_timeout", "steal_delay", "ledger_age"))
LEAST_LEASE = 0.1
_LONGEST_NAMESPACE = 100


def namespace_of(value: object) -> str:
    """Check a namespace."""
    text = checks.text_id("namespace", value)
    if len(text) > _LONGEST_NAMESPACE:
        raise ConfigurationError(
            "namespace",
            text,
            f"has {len(text)} characters",
            f"use at most {_LONGEST_NAMESPACE}",
        )
    if not set(text) & set("{}"):
        return text
    raise ConfigurationError(
        "namespace", text, "contains a brace", "use letters, digits, - _ . :"
    )


def queues_of(value: Iterable[str] | None) -> tuple[str, ...] | None:
    """Check the queues that a peer serves; None: all."""
    if value is None:
        return None
    if isinstance(value, str):
        raise ConfigurationError(
            "queues", value, "is a text, not a list", f'write queues=["{value}"]'
        )
    if not isinstance(value, Iterable):
        raise ConfigurationError(
            "queues", value, "is not a list of names", 'write queues=["mail"]'
        )
    queues: set[str] = set()
    for number, each in enumerate(value):
        name = checks.queue(f"queues[{number}]", each)
        if name is None:
            raise ConfigurationError(
                f"queues[{number}]", each, "is no name of a queue", "name one"
            )
        queues.add(name)
    if queues:
        return tuple(sorted(queues))
    raise ConfigurationError(
        "queues", value, "is empty", "name a queue, or pass run_jobs=False"
    )


def at_least_one(field: str, value: int) -> int:
    """Check a positive whole number."""
    if type(value) is not int or value < 1:
        raise ConfigurationError(
            field, value, "is no positive whole number", "give 1 or more"
        )
    return value


def terms_of(given: object, lease: timedelta | float | None) -> dict[str, Any]:
    """Check the terms that a peer insists on; durations become microseconds."""
    if given is not None and not isinstance(given, Mapping):
        raise ConfigurationError(
            "terms", given, "is not a mapping", 'give a dict, such as {"beat": 2}'
        )
    terms: dict[Any, Any] = dict(given or {})
    if lease is not None:
        again = terms.get("lease", lease)
        if _term("lease", again) != _term("lease", lease):
            raise ConfigurationError(
                "lease", lease, f"terms give another, {again!r}", "give it once"
            )
        terms["lease"] = lease
    known = {field.name for field in fields(Terms)}
    for name, value in terms.items():
        if not isinstance(name, str) or name not in known:
            raise ConfigurationError(
                f"terms.{name}",
                value,
                "is not known",
                f"use {', '.join(sorted(known))}",
            )
        terms[name] = _term(name, value)
    _refuse_contradictions(terms)
    return terms


def _refuse_contradictions(terms: Mapping[str, int]) -> None:
    """Compare the terms that are given with each other.

    What is left out may be settled already; a beat and the time-out that goes
    with it are compared with each other's default, so as to be given together.
    """
    if not {"beat", "member_timeout"} & terms.keys():
        return
    beat = terms.get("beat", Terms().beat)
    silent = terms.get("member_timeout", Terms().member_timeout)
    seconds = beat / 1_000_000
    if silent <= beat:
        raise ConfigurationError(
            "terms.member_timeout",
            silent / 1_000_000,
            f"is not longer than a beat of {seconds:g} s, so that every peer "
            "would count as dead",
            "give both, the time-out at least twice the beat",
        )
    if "beat" in terms and terms.get("lease", beat) < beat:
        raise ConfigurationError(
            "terms.beat",
            seconds,
            f"is longer than the lease of {terms['lease'] / 1_000_000:g} s",
            "give a beat of a third of the lease, or a longer lease",
        )


def _term(name: str, value: Any) -> int:
    if name == "shards":
        checks.number("terms.shards", value, least=1, most=MAX_SHARDS)
        return int(value)
    if name not in _DURATIONS:
        return at_least_one(f"terms.{name}", value)
    micro = length_of(name, value, zero=True)
    least = 0 if name == "steal_delay" else span(LEAST_LEASE)
    if micro < least:
        raise ConfigurationError(
            name,
            value,
            "is too short",
            f"give a timedelta or seconds, at least {least / 1_000_000} s",
        )
    return micro


def length_of(field: str, value: object, *, zero: bool = False) -> int:
    """Check a duration, at most 100 years, and return its microseconds."""
    if not isinstance(value, str):
        length = checks.duration(field, value, zero=zero, none=False)
        if length is not None:
            return span(length)
    raise ConfigurationError(
        field, value, "is no duration", "give a timedelta or seconds"
    )


def instant_of(field: str, value: object) -> int:
    """Check an aware datetime that every zone can show; return microseconds."""
    if not isinstance(value, datetime):
        raise ConfigurationError(
            field, value, "is no instant", "give an aware datetime"
        )
    if value.utcoffset() is None:
        raise ConfigurationError(
            field,
            value,
            "is naive, so it names no instant",
            "give it a zone: datetime(..., tzinfo=UTC)",
        )
    instant = micros(value)
    if not FIRST_INSTANT <= instant <= LAST_INSTANT:
        raise ConfigurationError(
            field, value, "is out of range", "stay between 0001-01-02 and 9999-12-30"
        )
    return instant


def grace_of(value: object) -> float | None:
    """Check how long runs may take to end, and return seconds; None: any time."""
    return None if value is None else length_of("grace", value, zero=True) / 1_000_000


def optional_text(field: str, value: object) -> None:
    """Check a filter: a text, or None for no filter."""
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(field, value, "is not text", "give a name, or None")


def callable_of(field: str, value: object) -> None:
    """Check something that will be called."""
    if not callable(value):
        raise ConfigurationError(field, value, "cannot be called", "give a function")


def logger_of(value: object) -> logging.Logger:
    """Return the logger that is meant; None: the house's."""
    if isinstance(value, logging.Logger):
        return value
    if value is None:
        return logging.getLogger("aiosched")
    if isinstance(value, str) and value:
        return logging.getLogger(value)
    raise ConfigurationError(
        "logger",
        value,
        "is no logger",
        "give a logging.Logger, or its name; adapters go on a handler",
    )


def clock_of(value: object) -> None:
    """Check that a clock has what clocks have; None: the host's."""
    parts: tuple[Callable[..., Any] | None, ...] = tuple(
        getattr(value, name, None) for name in ("monotonic", "wall", "sleep")
    )
    if value is not None and not all(callable(part) for part in parts):
        raise ConfigurationError(
            "clock",
            value,
            "is no clock",
            "give one with monotonic, wall and sleep, or leave it out",
        )
