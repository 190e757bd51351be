"""Whether two definitions are the same, and if not, in what."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields

from aiosched.records import Apart, Blob, Definition, Spec

__all__ = ["differing", "digest", "same_blob"]

_TOLD_APART = 1_024
"""Longest arguments, in bytes, that are looked into; a store may keep longer ones
apart, and what is said of a change must not depend on the store."""

_UNCOMPARED = ("trigger", "declared", "unpinned", "delay")


def digest(data: bytes) -> str:
    """Return the BLAKE2b-128 of some bytes in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def same_blob(one: Blob, other: Blob) -> bool:
    """Compare arguments or payloads, wherever they are kept."""
    if isinstance(one, Apart) or isinstance(other, Apart):
        first = one.digest if isinstance(one, Apart) else digest(one)
        second = other.digest if isinstance(other, Apart) else digest(other)
        return first == second
    return one == other


def differing(stored: Definition, given: Definition) -> tuple[str, ...]:
    """Return the fields in which a given definition departs from a stored one.

    A trigger that is given without a start is the same as the stored one that
    was pinned when it was scheduled: that is what makes registering at every
    boot a no-op.
    """
    names = [
        f.name
        for f in fields(Spec)
        if f.name not in _UNCOMPARED
        and getattr(stored.spec, f.name) != getattr(given.spec, f.name)
    ]
    if not same_blob(stored.arguments, given.arguments):
        names += _arguments(stored.arguments, given.arguments)
    if not _same_trigger(stored, given):
        names.append("trigger")
    return tuple(sorted(names))


def _arguments(stored: Blob, given: Blob) -> list[str]:
    """Say in which of args and kwargs two arguments differ, if in any.

    A peer that knows the executor's signature writes 4.0 where one that does not
    writes 4: values are compared, not texts.
    """
    if isinstance(stored, Apart) or isinstance(given, Apart):
        return ["args", "kwargs"]
    if max(len(stored), len(given)) > _TOLD_APART:
        return ["args", "kwargs"]
    try:
        pairs = [
            json.loads(blob, parse_float=_number) if blob else [[], {}]
            for blob in (stored, given)
        ]
        (args, kwargs), (others, other_kwargs) = pairs
    except (ValueError, OverflowError, RecursionError):
        # Another version wrote what this one cannot read.
        return ["args", "kwargs"]
    differ = {
        "args": _canonical(args) != _canonical(others),
        "kwargs": _canonical(kwargs) != _canonical(other_kwargs),
    }
    return [name for name, here in differ.items() if here]


def _canonical(value: object) -> str:
    """Write a JSON value so that equal ones are equal texts; ``true`` is not 1."""
    return json.dumps(value, sort_keys=True)


def _number(text: str) -> int | float:
    """Read a number with a point or an exponent; a whole one is an integer."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _same_trigger(stored: Definition, given: Definition) -> bool:
    old, new = stored.spec.trigger, given.spec.trigger
    if given.spec.delay is not None:
        return stored.spec.delay == given.spec.delay
    if new is None:
        run_once = given.spec.keyword is None
        return old is None or (run_once and old.rule().kind == "date")
    if old is None:
        return False
    if given.anchor is not None:
        return old == new and stored.anchor == given.anchor
    return new in (old, stored.spec.unpinned)
