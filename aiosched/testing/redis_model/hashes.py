"""Hashes."""

from __future__ import annotations

from aiosched.testing.redis_model.database import Database
from aiosched.testing.redis_model.keyspace import cursor_of, page, scan_options
from aiosched.testing.redis_model.resp import RefusedError, Reply, Table
from aiosched.testing.redis_model.values import Hash
from aiosched.testing.redis_model.words import (
    MAX_INT,
    MIN_INT,
    Command,
    Words,
    bad_arity,
    integer,
)

__all__ = ["COMMANDS"]

_LONGEST = 64


def _hset(db: Database, words: Words) -> Reply:
    if len(words) % 2:
        raise bad_arity(words[0].decode().lower())
    table = db.own(words[1], Hash)
    before = len(table)
    for place in range(2, len(words), 2):
        table[words[place]] = words[place + 1]
    return len(table) - before


def _hmset(db: Database, words: Words) -> Reply:
    _hset(db, words)
    return "OK"


def _hsetnx(db: Database, words: Words) -> Reply:
    if words[2] in (db.typed(words[1], Hash) or ()):
        return 0
    db.own(words[1], Hash)[words[2]] = words[3]
    return 1


def _hget(db: Database, words: Words) -> Reply:
    table = db.typed(words[1], Hash)
    return None if table is None else table.get(words[2])


def _hmget(db: Database, words: Words) -> Reply:
    table = db.typed(words[1], Hash) or Hash()
    return [table.get(field) for field in words[2:]]


def _hgetall(db: Database, words: Words) -> Reply:
    return Table(db.typed(words[1], Hash) or {})


def _hkeys(db: Database, words: Words) -> Reply:
    return list(db.typed(words[1], Hash) or ())


def _hvals(db: Database, words: Words) -> Reply:
    return list((db.typed(words[1], Hash) or {}).values())


def _hlen(db: Database, words: Words) -> Reply:
    return len(db.typed(words[1], Hash) or ())


def _hexists(db: Database, words: Words) -> Reply:
    return int(words[2] in (db.typed(words[1], Hash) or ()))


def _hdel(db: Database, words: Words) -> Reply:
    table = db.typed(words[1], Hash)
    if table is None or not any(field in table for field in words[2:]):
        return 0
    db.touch(words[1])
    gone = [field for field in dict.fromkeys(words[2:]) if field in table]
    for field in gone:
        del table[field]
    db.tidy(words[1])
    return len(gone)


def _hincrby(db: Database, words: Words) -> Reply:
    amount = integer(words[3])
    table = db.typed(words[1], Hash) or Hash()
    value = integer(table.get(words[2], b"0"), "ERR hash value is not an integer")
    if not MIN_INT <= value + amount <= MAX_INT:
        raise RefusedError("ERR increment or decrement would overflow")
    db.own(words[1], Hash)[words[2]] = b"%d" % (value + amount)
    return value + amount


def _hscan(db: Database, words: Words) -> Reply:
    cursor = cursor_of(words[2])
    table = db.typed(words[1], Hash)
    if table is None:
        return [b"0", []]
    options = scan_options(words[3:])
    small = all(len(k) <= _LONGEST and len(v) <= _LONGEST for k, v in table.items())
    after, names = page(table, cursor, options, whole=small)
    return [b"%d" % after, [part for name in names for part in (name, table[name])]]


COMMANDS: dict[str, Command] = {
    "hset": Command(_hset, -4, write=True, grows=True),
    "hmset": Command(_hmset, -4, write=True, grows=True),
    "hsetnx": Command(_hsetnx, 4, write=True, grows=True),
    "hget": Command(_hget, 3),
    "hmget": Command(_hmget, -3),
    "hgetall": Command(_hgetall, 2),
    "hkeys": Command(_hkeys, 2),
    "hvals": Command(_hvals, 2),
    "hlen": Command(_hlen, 2),
    "hexists": Command(_hexists, 3),
    "hdel": Command(_hdel, -3, write=True),
    "hincrby": Command(_hincrby, 4, write=True, grows=True),
    "hscan": Command(_hscan, -3),
}
