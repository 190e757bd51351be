"""Values as JSON text and back, with the place of what cannot be written."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from aiosched.errors import ArgumentsError

__all__ = ["dump_json", "load_json", "to_plain"]

_REMEDY = "pass data instead (text, numbers, lists, dicts, datetimes, UUIDs, models)"
_AS_TEXT = "pass it as text"
_MAX_DEPTH = 200
_MAX_DIGITS = 4_300
"""Digits of a whole number that Python reads, unless a process is told otherwise."""
_MANY_DIGITS = re.compile(rb"(?<!\d)\d{%d}" % (_MAX_DIGITS + 1))


def load_json(text: bytes) -> Any:
    """Read JSON text that :func:`dump_json` wrote.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None


def dump_json(value: object, path: str) -> bytes:
    """Write a value as JSON text in UTF-8, in one line.

    UUIDs, datetimes, enums, dataclasses and pydantic models pass, as what
    pydantic makes of them; sets become lists, keys become text.

    Args:
        value: What to write.
        path: What it is called, such as ``kwargs.lock``.

    Raises:
        ArgumentsError: Something inside cannot be written; ``field`` is its path.
    """
    try:
        text = to_json(value)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError):
        raise _refusal(value, path) from None
    # JSON has no NaN; the search is cheap and rarely finds even the letters.
    if (b"NaN" in text or b"Infinity" in text) and not _finite(value):
        raise _refusal(value, path)
    if len(text) > _MAX_DIGITS and not _short_numbers(text):
        raise _refusal(value, path)
    return text


def to_plain(value: object, path: str) -> Any:
    """Turn a value into what its JSON text reads as.

    Raises:
        ArgumentsError: As :func:`dump_json`.
    """
    return load_json(dump_json(value, path))


def _finite(value: object) -> bool:
    try:
        json.dumps(to_jsonable_python(value), allow_nan=False)
    except ValueError:
        return False
    return True


def _short_numbers(text: bytes) -> bool:
    """Tell whether every whole number in it can be read again, on any peer."""
    if _MANY_DIGITS.search(text) is None:
        return True
    try:
        json.loads(text, parse_int=_short)
    except ValueError:
        return False
    return True


def _short(digits: str) -> int:
    if len(digits.removeprefix("-")) > _MAX_DIGITS:
        raise ValueError(digits[:20])
    return 0


def _refusal(value: object, path: str) -> ArgumentsError:
    where, culprit, problem = _blame(value, path, frozenset())
    long = isinstance(culprit, int)
    return ArgumentsError(where, culprit, problem, _AS_TEXT if long else _REMEDY)


def _blame(value: object, path: str, above: frozenset[int]) -> tuple[str, object, str]:
    """Find the innermost part that cannot be written."""
    if id(value) in above:
        return path, "…", "contains itself"
    if len(above) >= _MAX_DEPTH:
        return path, "…", f"is nested more than {_MAX_DEPTH} deep"
    for where, part in _parts(value, path):
        if not _writable(part):
            return _blame(part, where, above | {id(value)})
    return path, value, _problem(value)


def _parts(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield f"{path}.{key}", part
    elif isinstance(value, list | tuple | set | frozenset):
        for position, part in enumerate(value):
            yield f"{path}[{position}]", part
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield f"{path}.{name}", getattr(value, name, None)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield f"{path}.{field.name}", getattr(value, field.name, None)


def _writable(value: object) -> bool:
    try:
        text = to_json(value)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError):
        return False
    if (b"NaN" in text or b"Infinity" in text) and not _finite(value):
        return False
    return _short_numbers(text)


def _problem(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "is a number that JSON does not have"
    if isinstance(value, int):
        return f"is a number of more than {_MAX_DIGITS} digits"
    if isinstance(value, str):
        return "has half a character (a lone surrogate)"
    if isinstance(value, bytes | bytearray):
        return "are bytes that are not UTF-8 text"
    return f"a {type(value).__name__} cannot be written as JSON"
