"""How words are read as numbers, and how a command is described."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiosched.testing.redis_model.database import Database
from aiosched.testing.redis_model.resp import RefusedError, Reply

__all__ = [
    "MAX_INT",
    "MIN_INT",
    "NOT_FLOAT",
    "NOT_INT",
    "SYNTAX",
    "Command",
    "Handler",
    "Words",
    "bad_arity",
    "bound",
    "floating",
    "integer",
]

MAX_INT = 2**63 - 1
MIN_INT = -(2**63)
SYNTAX = "ERR syntax error"
NOT_INT = "ERR value is not an integer or out of range"
NOT_FLOAT = "ERR value is not a valid float"

_INT = re.compile(rb"0|-?[1-9][0-9]*")
_SPACE = b" \t\n\v\f\r"

Words: TypeAlias = Sequence[bytes]
Handler: TypeAlias = Callable[[Database, Words], Reply]


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the list.

    Attributes:
        run: Does it: gets the database (or, if ``ours``, the connection) and
            all words, the name included.
        arity: Number of words; negative: at least so many.
        write: It may change data.
        grows: It may need memory, so it is refused when there is none.
        ours: It concerns the connection rather than a database.
        early: It is answered while the data set is being loaded.
        queued: It can stand inside MULTI.
    """

    run: Callable[[Any, Words], Reply]
    arity: int
    write: bool = False
    grows: bool = False
    ours: bool = False
    early: bool = False
    queued: bool = True


def bad_arity(name: str) -> RefusedError:
    """Return the answer to a wrong number of words."""
    return RefusedError(f"ERR wrong number of arguments for '{name}' command")


def integer(word: bytes, problem: str = NOT_INT) -> int:
    """Read a number of 64 bits, written in the one way it can be.

    Raises:
        RefusedError: It is none.
    """
    if _INT.fullmatch(word) is not None:
        value = int(word)
        if MIN_INT <= value <= MAX_INT:
            return value
    raise RefusedError(problem)


def floating(word: bytes, problem: str = NOT_FLOAT) -> float:
    """Read a score.

    Raises:
        RefusedError: It is none.
    """
    if not word or word[:1] in _SPACE:
        raise RefusedError(problem)
    value = _strtod(word)
    if value is None or (math.isinf(value) and b"inf" not in word.lower()):
        raise RefusedError(problem)
    return value


def bound(word: bytes) -> tuple[float, bool]:
    """Read the end of a range of scores: the score, and whether it is left out.

    Raises:
        RefusedError: It is none.
    """
    outside = word[:1] == b"("
    text = word[1:] if outside else word
    # What C makes of nothing is 0, and a server does not look twice.
    value = _strtod(text.lstrip(_SPACE)) if text else 0.0
    if value is None:
        raise RefusedError("ERR min or max is not a float")
    return value, outside


def _strtod(word: bytes) -> float | None:
    """Read a number as C does; None where text is left over or it is none."""
    if not word or b"_" in word or word[-1:] in _SPACE:
        return None
    try:
        value = float(word)
    except ValueError:
        try:
            value = float.fromhex(word.decode()) if b"x" in word.lower() else math.nan
        except (ValueError, OverflowError):
            return None
    return None if math.isnan(value) else value
