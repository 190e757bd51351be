"""All that is wrong with a configuration, kept until everything has been looked at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from aiosched.config.filling import Filled, hidden_in
from aiosched.config.sources import Key, Source, key_text
from aiosched.errors import (
    ArgumentsError,
    ConfigFileError,
    ConfigurationError,
    InvalidInputError,
    TriggerError,
)
from aiosched.stores import masked

__all__ = ["Mistakes", "discreet", "nearest", "secretive", "unknown_key"]

_LIKENESS = 0.6
_SECRETIVE = re.compile(r"pass|secret|token|credential|api_?key|private", re.IGNORECASE)


def nearest(
    word: str, known: Iterable[str], *, likeness: float = _LIKENESS
) -> str | None:
    """Return the known word that is most like another; None if none is."""
    found = get_close_matches(word, list(known), n=1, cutoff=likeness)
    return found[0] if found else None


def secretive(name: str) -> bool:
    """Tell whether a key sounds as if its value were secret."""
    return _SECRETIVE.search(name) is not None


def discreet(name: str, value: Any) -> Any:
    """Return what may be shown of the value of a key that nobody knows."""
    if secretive(name):
        return "***"
    if isinstance(value, Filled):
        return value.written
    if isinstance(value, Mapping):
        return {str(key): discreet(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [discreet(name, each) for each in value]
    if isinstance(value, str) and ("@" in value or "://" in value):
        return masked(value)
    return value


def unknown_key(
    name: str, value: Any, known: Iterable[str], what: str
) -> ConfigurationError:
    """Refuse a key that there is not, with the one that may be meant."""
    words = list(known)
    like = nearest(name, words)
    remedy = f"use {', '.join(words)}" if like is None else f"did you mean {like}?"
    problem = f"is not known in {what}"
    return ConfigurationError(name, discreet(name, value), problem, remedy)


class Mistakes:
    """Collects mistakes, with their places."""

    def __init__(self, source: Source, origins: Mapping[Key, Key]) -> None:
        """Begin without any.

        Args:
            source: The file.
            origins: Where a key stands in the file that stands elsewhere in the
                data, because an environment has brought it.
        """
        self._source = source
        self._origins = origins
        self._found: list[tuple[str, InvalidInputError]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(
        self,
        key: Key,
        error: InvalidInputError,
        *,
        raw: Any = None,
        where: str | None = None,
    ) -> None:
        """Keep a mistake.

        Args:
            key: Where it is, in the data.
            error: What is wrong; its field is within the key.
            raw: What stands there, if something secret may have been filled in.
            where: The place in words; None: the line of the file.
        """
        origin = self.origin(key)
        path = key_text(origin) if where is None else str(key[-1])
        field = f"{path}{_within(key, error.field)}"
        value, problem, remedy = error.value, error.problem, error.remedy
        for text in hidden_in(raw):
            value = raw
            problem, remedy = text.hide(problem), text.hide(remedy)
        place = self._source.where(origin) if where is None else where
        kind = type(error) if type(error) in _PLAIN else ConfigurationError
        self._found.append((place, kind(field, value, problem, remedy)))

    def origin(self, key: Key) -> Key:
        """Return where in the file a key stands, or the nearest around it."""
        for end in range(len(key), 0, -1):
            found = self._origins.get(key[:end])
            if found is not None:
                return (*found, *key[end:])
        return key

    def raise_all(self) -> None:
        """Raise what was found, in the order of the file; nothing if it is right.

        Raises:
            ConfigFileError: There is something.
        """
        if self._found:
            raise ConfigFileError(self._source.name, sorted(self._found, key=_line))


_PLAIN = frozenset((ArgumentsError, ConfigurationError, TriggerError))


def _line(mistake: tuple[str, object]) -> int:
    words = mistake[0].split()
    return int(words[1]) if words[:1] == ["line"] else 0


def _within(key: Key, field: str) -> str:
    """Return what the field of an error adds to the key at which it was found."""
    name = str(key[-1]) if key else ""
    if field == name:
        return ""
    if field.startswith((f"{name}.", f"{name}[")):
        return field[len(name) :]
    return f".{field}"
