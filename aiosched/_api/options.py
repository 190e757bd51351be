"""The options of a scheduler, checked before anything is opened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

from aiosched.abc import Terms
from aiosched.errors import ConfigurationError
from aiosched.instants import span
from aiosched.jobs import checks

__all__ = ["at_least_one", "namespace_of", "queues_of", "terms_of"]

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
    queues = tuple(sorted({str(checks.queue("queues", each)) for each in value}))
    if queues:
        return queues
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


def terms_of(
    given: Mapping[str, Any] | None, lease: timedelta | float | None
) -> dict[str, Any]:
    """Check the terms that a peer insists on; durations become microseconds."""
    terms = dict(given or {})
    if lease is not None:
        terms["lease"] = lease
    known = {field.name for field in fields(Terms)}
    for name, value in terms.items():
        if name not in known:
            raise ConfigurationError(
                f"terms.{name}",
                value,
                "is not known",
                f"use {', '.join(sorted(known))}",
            )
        terms[name] = _term(name, value)
    return terms


def _term(name: str, value: Any) -> int:
    if name not in _DURATIONS:
        return at_least_one(f"terms.{name}", value)
    micro = 0
    with contextlib.suppress(TypeError, ValueError):
        micro = span(value)
    least = 0 if name == "steal_delay" else span(LEAST_LEASE)
    if micro < least or isinstance(value, bool):
        raise ConfigurationError(
            name,
            value,
            "is too short",
            f"give a timedelta or seconds, at least {least / 1_000_000} s",
        )
    return micro
