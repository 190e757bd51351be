"""Sets and lists."""

from __future__ import annotations

from aiosched.testing.redis_model.database import Database
from aiosched.testing.redis_model.keyspace import cursor_of, page, scan_options
from aiosched.testing.redis_model.resp import RefusedError, Reply, Unique
from aiosched.testing.redis_model.values import Listing, Members
from aiosched.testing.redis_model.words import Command, Words, bad_arity, integer

__all__ = ["COMMANDS"]


def _sadd(db: Database, words: Words) -> Reply:
    there = db.typed(words[1], Members) or ()
    new = [one for one in dict.fromkeys(words[2:]) if one not in there]
    if new:
        db.own(words[1], Members).update(dict.fromkeys(new))
    return len(new)


def _srem(db: Database, words: Words) -> Reply:
    there = db.typed(words[1], Members)
    gone = [one for one in dict.fromkeys(words[2:]) if one in (there or ())]
    if there is not None and gone:
        db.touch(words[1])
        for one in gone:
            del there[one]
        db.tidy(words[1])
    return len(gone)


def _smembers(db: Database, words: Words) -> Reply:
    return Unique(sorted(db.typed(words[1], Members) or ()))


def _sismember(db: Database, words: Words) -> Reply:
    return int(words[2] in (db.typed(words[1], Members) or ()))


def _smismember(db: Database, words: Words) -> Reply:
    there = db.typed(words[1], Members) or ()
    return [int(one in there) for one in words[2:]]


def _scard(db: Database, words: Words) -> Reply:
    return len(db.typed(words[1], Members) or ())


def _sscan(db: Database, words: Words) -> Reply:
    cursor = cursor_of(words[2])
    there = db.typed(words[1], Members)
    if there is None:
        return [b"0", []]
    options = scan_options(words[3:])
    after, names = page(there, cursor, options, whole=False)
    return [b"%d" % after, list(names)]


def _push(db: Database, words: Words) -> Reply:
    there = db.own(words[1], Listing)
    there.extend(words[2:])
    return len(there)


def _push_left(db: Database, words: Words) -> Reply:
    there = db.own(words[1], Listing)
    there[:0] = reversed(words[2:])
    return len(there)


def _llen(db: Database, words: Words) -> Reply:
    return len(db.typed(words[1], Listing) or ())


def _lrange(db: Database, words: Words) -> Reply:
    first, last = integer(words[2]), integer(words[3])
    there = db.typed(words[1], Listing) or Listing()
    first = max(0, first + len(there)) if first < 0 else first
    last = last + len(there) if last < 0 else last
    return there[first : last + 1] if last >= 0 else []


def _pop(db: Database, words: Words, place: int) -> Reply:
    if len(words) > 3:
        raise bad_arity(words[0].decode().lower())
    count = None
    if len(words) == 3:
        problem = "ERR value is out of range, must be positive"
        count = integer(words[2], problem)
        if count < 0:
            raise RefusedError(problem)
    there = db.typed(words[1], Listing)
    if there is None:
        return None
    if count == 0:
        return []
    db.touch(words[1])
    gone = [there.pop(place) for _ in range(min(len(there), count or 1))]
    db.tidy(words[1])
    return gone if count is not None else gone[0]


def _pop_left(db: Database, words: Words) -> Reply:
    return _pop(db, words, 0)


def _pop_right(db: Database, words: Words) -> Reply:
    return _pop(db, words, -1)


COMMANDS: dict[str, Command] = {
    "sadd": Command(_sadd, -3, write=True, grows=True),
    "srem": Command(_srem, -3, write=True),
    "smembers": Command(_smembers, 2),
    "sismember": Command(_sismember, 3),
    "smismember": Command(_smismember, -3),
    "scard": Command(_scard, 2),
    "sscan": Command(_sscan, -3),
    "rpush": Command(_push, -3, write=True, grows=True),
    "lpush": Command(_push_left, -3, write=True, grows=True),
    "llen": Command(_llen, 2),
    "lrange": Command(_lrange, 4),
    "lpop": Command(_pop_left, -2, write=True),
    "rpop": Command(_pop_right, -2, write=True),
}
