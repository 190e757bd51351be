"""What each field of a job may hold: one function a kind of field.

Each takes the field's name and the value as it was given, and returns it in
the form in which it is kept, or refuses it with an error that names field,
value and remedy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from aiosched.errors import ArgumentsError, ConfigurationError
from aiosched.jobs.plain import dump_json

__all__ = [
    "KEYWORD_FORM",
    "MAX_DURATION",
    "MAX_ERRORS",
    "MAX_META",
    "MAX_NAME",
    "MAX_NOTE",
    "MAX_RUNNING",
    "MAX_TAGS",
    "QUEUE_FORM",
    "arguments",
    "duration",
    "error_names_given",
    "flag",
    "free_text",
    "identifier",
    "keyword",
    "keyword_arguments",
    "member",
    "meta",
    "number",
    "queue",
    "share",
    "tags",
    "text_id",
]

MAX_NAME = 200
MAX_NOTE = 1_000
MAX_META = 16_384
MAX_TAGS = 50
MAX_ERRORS = 50
MAX_RUNNING = 100
"""Runs of one job at a time: its record carries each of them."""
MAX_DURATION = timedelta(days=36_525)
KEYWORD_FORM = (
    "1 to 200 characters, without blanks, control characters and the reserved * ? [ ]"
)
QUEUE_FORM = "1 to 64 of the characters A-Z a-z 0-9 _ . -"

_QUEUE = re.compile(r"[A-Za-z0-9_.\-]{1,64}", re.ASCII)
_RESERVED = frozenset("*?[]")
_ISO_DURATION = TypeAdapter(timedelta)
_Word = TypeVar("_Word", bound=StrEnum)


def text_id(field: str, value: object, *, what: str = "id") -> str:
    """Check an id: 1 to 200 characters, not only blanks, none of control."""
    remedy = f"give 1 to {MAX_NAME} printable characters"
    if not isinstance(value, str):
        raise ConfigurationError(field, value, f"the {what} is not text", remedy)
    if not value.strip():
        raise ConfigurationError(field, value, f"the {what} is empty", remedy)
    if len(value) > MAX_NAME:
        problem = f"the {what} has {len(value)} characters"
        raise ConfigurationError(field, value, problem, remedy)
    if not value.replace(" ", "_").isprintable():
        problem = f"the {what} has characters that cannot be printed"
        raise ConfigurationError(field, value, problem, remedy)
    return value


def identifier(field: str, value: object) -> str:
    """Check a job id."""
    return text_id(field, value)


def keyword(field: str, value: object) -> str | None:
    """Check a keyword; None: the job has none."""
    if value is None:
        return None
    remedy = f"write it as {KEYWORD_FORM}"
    if not isinstance(value, str):
        raise ConfigurationError(field, value, "a keyword is text", remedy)
    if not 1 <= len(value) <= MAX_NAME:
        problem = f"a keyword of {len(value)} characters"
        raise ConfigurationError(field, value, problem, remedy)
    for char in value:
        if char.isspace() or not char.isprintable() or char in _RESERVED:
            problem = f"a keyword has no {char!r}"
            raise ConfigurationError(field, value, problem, remedy)
    return value


def queue(field: str, value: object) -> str | None:
    """Check a queue's name; None: that of the executor."""
    if value is None:
        return None
    if not isinstance(value, str) or _QUEUE.fullmatch(value) is None:
        raise ConfigurationError(
            field, value, "is no name of a queue", f"write {QUEUE_FORM}"
        )
    return value


def tags(field: str, value: object) -> tuple[str, ...]:
    """Check tags; doubles are dropped, sets are sorted."""
    remedy = f"give up to {MAX_TAGS} texts, such as ('billing', 'nightly')"
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ConfigurationError(field, value, "is not a list of texts", remedy)
    items = list(value)
    given = [text_id(f"{field}[{n}]", tag, what="tag") for n, tag in enumerate(items)]
    if isinstance(value, set | frozenset):
        given.sort()
    unique = tuple(dict.fromkeys(given))
    if len(unique) > MAX_TAGS:
        raise ConfigurationError(field, value, f"are {len(unique)} tags", remedy)
    return unique


def free_text(field: str, value: object) -> str:
    """Check a note for people."""
    if not isinstance(value, str) or len(value) > MAX_NOTE:
        problem = "is not a text of that length"
        remedy = f"give a text of up to {MAX_NOTE} characters"
        raise ConfigurationError(field, value, problem, remedy)
    try:
        value.encode()
    except UnicodeEncodeError:
        problem = "has half a character (a lone surrogate)"
        raise ConfigurationError(field, value, problem, "remove it") from None
    return value


def meta(field: str, value: object) -> dict[str, Any]:
    """Check the user's own data: a JSON object of up to 16 kB."""
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            field, value, "is not a mapping", "give a dict of JSON values"
        )
    try:
        text = dump_json(dict(value), field)
    except ArgumentsError as error:
        raise ConfigurationError(
            error.field, error.value, error.problem, error.remedy
        ) from None
    if len(text) > MAX_META:
        raise ConfigurationError(
            field,
            value,
            f"takes {len(text)} bytes of JSON",
            f"keep at most {MAX_META}, and a reference to the rest",
        )
    return dict(value)


def arguments(field: str, value: object) -> tuple[Any, ...]:
    """Check that positional arguments are a sequence."""
    if isinstance(value, list | tuple):
        return tuple(value)
    raise ArgumentsError(
        field, value, "is not a list or tuple", "put a single argument as (value,)"
    )


def keyword_arguments(field: str, value: object) -> dict[str, Any]:
    """Check that keyword arguments are a mapping from text."""
    if not isinstance(value, Mapping):
        raise ArgumentsError(
            field, value, "is not a mapping", 'give a dict, such as {"draft": True}'
        )
    for key in value:
        if not isinstance(key, str):
            raise ArgumentsError(
                field, key, "the name of an argument is not text", "name it by text"
            )
    return dict(value)


def duration(
    field: str, value: object, *, zero: bool = False, none: bool = True
) -> timedelta | None:
    """Check a duration: a timedelta, seconds, or ISO 8601 text such as PT5M.

    Args:
        field: Its name.
        value: As given.
        zero: Whether nothing at all is a duration too.
        none: Whether None may stand for the absence of a limit.
    """
    least = "zero or more" if zero else "a positive duration"
    remedy = f"give {least} as a timedelta or a number of seconds"
    if value is None and none:
        return None
    if isinstance(value, str):
        try:
            value = _ISO_DURATION.validate_python(value)
        except ValidationError:
            problem = "is not an ISO 8601 duration"
            raise ConfigurationError(field, value, problem, remedy) from None
    if isinstance(value, bool) or not isinstance(value, timedelta | int | float):
        raise ConfigurationError(field, value, "is not a duration", remedy)
    try:
        length = value if isinstance(value, timedelta) else timedelta(seconds=value)
    except (OverflowError, ValueError):
        finite = not isinstance(value, float) or math.isfinite(value)
        problem = "is too long" if finite else "is no finite number"
        if finite:
            remedy = f"give at most {MAX_DURATION.days} days"
        raise ConfigurationError(field, value, problem, remedy) from None
    if length < timedelta(0) or not (length or zero):
        raise ConfigurationError(field, value, "is not positive", remedy)
    if length > MAX_DURATION:
        problem = f"is longer than {MAX_DURATION.days} days"
        raise ConfigurationError(field, value, problem, "give a shorter one")
    return length


def number(
    field: str, value: object, *, least: int, most: int, none: bool = False
) -> int | None:
    """Check a whole number between two bounds, both included."""
    if value is None and none:
        return None
    remedy = f"give a whole number from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(field, value, "is not a whole number", remedy)
    if not least <= value <= most:
        raise ConfigurationError(field, value, "is out of range", remedy)
    return value


def share(field: str, value: object, *, least: float, most: float) -> float:
    """Check a number between two bounds, both included."""
    remedy = f"give a number from {least:g} to {most:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(field, value, "is not a number", remedy)
    if not least <= value <= most:
        raise ConfigurationError(field, value, "is out of range", remedy)
    return float(value)


def flag(field: str, value: object) -> bool:
    """Check a truth value; 0 and "yes" are none."""
    if isinstance(value, bool):
        return value
    raise ConfigurationError(
        field, value, "is neither True nor False", "give one of them"
    )


def member(field: str, value: object, words: type[_Word]) -> _Word:
    """Check a word of a closed list."""
    if isinstance(value, str):
        with suppress(ValueError):
            return words(value)
    known = " or ".join(f'"{word}"' for word in words)
    raise ConfigurationError(field, value, "is not a word it knows", f"use {known}")


def error_names_given(field: str, value: object) -> tuple[str, ...]:
    """Check exceptions, given as classes or by name, and return their names."""
    remedy = "give exception classes or their names, such as (ConnectionError,)"
    if isinstance(value, str | bytes | type) or not isinstance(value, Iterable):
        raise ConfigurationError(field, value, "is not a list of exceptions", remedy)
    names = []
    for position, given in enumerate(value):
        if isinstance(given, type) and issubclass(given, BaseException):
            names.append(class_name(given))
        elif isinstance(given, str):
            names.append(text_id(f"{field}[{position}]", given, what="name"))
        else:
            where = f"{field}[{position}]"
            raise ConfigurationError(where, given, "is not an exception", remedy)
    if len(set(names)) > MAX_ERRORS:
        problem = f"are {len(set(names))} exceptions"
        remedy = f"give at most {MAX_ERRORS}, or a class that they have in common"
        raise ConfigurationError(field, value, problem, remedy)
    return tuple(dict.fromkeys(names))


def class_name(cls: type) -> str:
    """Return ``module.Name``, or ``Name`` alone for what is built in."""
    if cls.__module__ == "builtins":
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"
