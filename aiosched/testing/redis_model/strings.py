"""Strings and counters."""

from __future__ import annotations

from aiosched.testing.redis_model.database import Database
from aiosched.testing.redis_model.resp import RefusedError, Reply
from aiosched.testing.redis_model.words import (
    MAX_INT,
    MIN_INT,
    NOT_INT,
    SYNTAX,
    Command,
    Words,
    bad_arity,
    integer,
)

__all__ = ["COMMANDS", "deadline"]

_UNITS = {b"ex": (1000, True), b"px": (1, True), b"exat": (1000, False)}
_UNITS[b"pxat"] = (1, False)


def _get(db: Database, words: Words) -> Reply:
    return db.typed(words[1], bytes)


def _set(db: Database, words: Words) -> Reply:
    key, flags, until = _set_options(db, words)
    old = db.typed(key, bytes) if b"get" in flags else None
    there = db.find(key) is not None
    if (b"nx" in flags and there) or (b"xx" in flags and not there):
        return old
    db.put(key, words[2])
    if until is not None:
        db.deadlines[key] = until
    elif b"keepttl" not in flags:
        db.deadlines.pop(key, None)
    return old if b"get" in flags else "OK"


def _set_options(db: Database, words: Words) -> tuple[bytes, set[bytes], int | None]:
    flags: set[bytes] = set()
    unit: bytes | None = None
    amount = b""
    place = 3
    while place < len(words):
        word = words[place].lower()
        if (
            (word == b"nx" and b"xx" not in flags)
            or (word == b"xx" and b"nx" not in flags)
            or word == b"get"
            or (word == b"keepttl" and unit is None)
        ):
            flags.add(word)
        elif (
            word in _UNITS
            and unit in {None, word}
            and b"keepttl" not in flags
            and place + 1 < len(words)
        ):
            unit, amount = word, words[place + 1]
            place += 1
        else:
            raise RefusedError(SYNTAX)
        place += 1
    until = None if unit is None else deadline(db, amount, unit, "set")
    return words[1], flags, until


def deadline(db: Database, amount: bytes, unit: bytes, name: str) -> int:
    """Return the millisecond that an option such as EX 5 means.

    Raises:
        RefusedError: It is no number, not positive, or too far away.
    """
    factor, relative = _UNITS[unit]
    value = integer(amount)
    bad = RefusedError(f"ERR invalid expire time in '{name}' command")
    if value <= 0 or value * factor > MAX_INT:
        raise bad
    value = value * factor + (db.now() if relative else 0)
    if value > MAX_INT:
        raise bad
    return value


def _setnx(db: Database, words: Words) -> Reply:
    if db.find(words[1]) is not None:
        return 0
    db.put(words[1], words[2])
    return 1


def _getset(db: Database, words: Words) -> Reply:
    old = db.typed(words[1], bytes)
    db.put(words[1], words[2])
    db.deadlines.pop(words[1], None)
    return old


def _getdel(db: Database, words: Words) -> Reply:
    old = db.typed(words[1], bytes)
    db.remove(words[1])
    return old


def _mget(db: Database, words: Words) -> Reply:
    values = db.values if not db.deadlines else None
    found = []
    for key in words[1:]:
        value = values.get(key) if values is not None else db.find(key)
        found.append(value if type(value) is bytes else None)
    return found


def _mset(db: Database, words: Words) -> Reply:
    if not len(words) % 2:
        raise bad_arity("mset")
    for place in range(1, len(words), 2):
        db.find(words[place])
        db.put(words[place], words[place + 1])
        db.deadlines.pop(words[place], None)
    return "OK"


def _msetnx(db: Database, words: Words) -> Reply:
    if not len(words) % 2:
        raise bad_arity("msetnx")
    if any(db.find(key) is not None for key in words[1::2]):
        return 0
    _mset(db, words)
    return 1


def _strlen(db: Database, words: Words) -> Reply:
    return len(db.typed(words[1], bytes) or b"")


def _append(db: Database, words: Words) -> Reply:
    whole = (db.typed(words[1], bytes) or b"") + words[2]
    db.put(words[1], whole)
    return len(whole)


def _add(db: Database, key: bytes, amount: int) -> Reply:
    there = db.typed(key, bytes)
    value = integer(b"0" if there is None else there, NOT_INT)
    if not MIN_INT <= value + amount <= MAX_INT:
        raise RefusedError("ERR increment or decrement would overflow")
    db.put(key, b"%d" % (value + amount))
    return value + amount


def _incr(db: Database, words: Words) -> Reply:
    return _add(db, words[1], 1)


def _decr(db: Database, words: Words) -> Reply:
    return _add(db, words[1], -1)


def _incrby(db: Database, words: Words) -> Reply:
    return _add(db, words[1], integer(words[2]))


def _decrby(db: Database, words: Words) -> Reply:
    amount = integer(words[2])
    if amount == MIN_INT:
        raise RefusedError("ERR decrement would overflow")
    return _add(db, words[1], -amount)


COMMANDS: dict[str, Command] = {
    "get": Command(_get, 2),
    "set": Command(_set, -3, write=True, grows=True),
    "setnx": Command(_setnx, 3, write=True, grows=True),
    "getset": Command(_getset, 3, write=True, grows=True),
    "getdel": Command(_getdel, 2, write=True),
    "mget": Command(_mget, -2),
    "mset": Command(_mset, -3, write=True, grows=True),
    "msetnx": Command(_msetnx, -3, write=True, grows=True),
    "strlen": Command(_strlen, 2),
    "append": Command(_append, 3, write=True, grows=True),
    "incr": Command(_incr, 2, write=True, grows=True),
    "decr": Command(_decr, 2, write=True, grows=True),
    "incrby": Command(_incrby, 3, write=True, grows=True),
    "decrby": Command(_decrby, 3, write=True, grows=True),
}
