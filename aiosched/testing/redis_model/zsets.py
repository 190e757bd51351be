"""Sorted sets."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from aiosched.testing.redis_model.database import Database
from aiosched.testing.redis_model.keyspace import cursor_of, page, scan_options
from aiosched.testing.redis_model.resp import Pairs, RefusedError, Reply, number
from aiosched.testing.redis_model.values import Members, Sorted
from aiosched.testing.redis_model.words import (
    SYNTAX,
    Command,
    Words,
    bound,
    floating,
    integer,
)

__all__ = ["COMMANDS"]

_LONGEST = 64
_FLAGS = {b"nx", b"xx", b"ch", b"incr", b"gt", b"lt"}
_NAN = "ERR resulting score is not a number (NaN)"


def _zadd(db: Database, words: Words) -> Reply:
    flags, place = _zadd_flags(words)
    scores = [floating(word) for word in words[place::2]]
    there = db.typed(words[1], Sorted)
    if there is None and b"xx" in flags:
        return None if b"incr" in flags else 0
    there = Sorted() if there is None else there
    added = updated = 0
    outcome: float | None = None
    for score, member in zip(scores, words[place + 1 :: 2], strict=True):
        old = there.scores.get(member)
        new = _decided(old, score, flags)
        if new is None:
            continue
        outcome = new
        if old is None or new != old:
            if not added and not updated:
                db.touch(words[1])
                db.values[words[1]] = there
            there.put(member, new)
            added += old is None
            updated += old is not None
    if b"incr" in flags:
        return outcome
    return added + updated if b"ch" in flags else added


def _zadd_flags(words: Words) -> tuple[set[bytes], int]:
    flags: set[bytes] = set()
    place = 2
    while place < len(words) and words[place].lower() in _FLAGS:
        flags.add(words[place].lower())
        place += 1
    if len(words) == place or (len(words) - place) % 2:
        raise RefusedError(SYNTAX)
    if {b"nx", b"xx"} <= flags:
        raise RefusedError("ERR XX and NX options at the same time are not compatible")
    if len(flags & {b"nx", b"gt", b"lt"}) > 1:
        raise RefusedError(
            "ERR GT, LT, and/or NX options at the same time are not compatible"
        )
    if b"incr" in flags and len(words) - place > 2:
        raise RefusedError("ERR INCR option supports a single increment-element pair")
    return flags, place


def _decided(old: float | None, score: float, flags: set[bytes]) -> float | None:
    """Return the score that a member is to have; None: leave it alone."""
    if old is None:
        return None if b"xx" in flags else score
    if b"nx" in flags:
        return None
    if b"incr" in flags:
        score += old
        if math.isnan(score):
            raise RefusedError(_NAN)
    if (b"gt" in flags and score <= old) or (b"lt" in flags and score >= old):
        return None
    return score


def _zincrby(db: Database, words: Words) -> Reply:
    return _zadd(db, [words[0], words[1], b"incr", words[2], words[3]])


def _zrem(db: Database, words: Words) -> Reply:
    there = db.typed(words[1], Sorted)
    if there is None:
        return 0
    gone = [one for one in dict.fromkeys(words[2:]) if one in there.scores]
    return _drop(db, words[1], there, gone)


def _drop(db: Database, key: bytes, there: Sorted, gone: list[bytes]) -> int:
    if gone:
        db.touch(key)
        for member in gone:
            there.remove(member)
        db.tidy(key)
    return len(gone)


def _zscore(db: Database, words: Words) -> Reply:
    there = db.typed(words[1], Sorted)
    return None if there is None else there.scores.get(words[2])


def _zmscore(db: Database, words: Words) -> Reply:
    there = db.typed(words[1], Sorted)
    scores = {} if there is None else there.scores
    return [scores.get(member) for member in words[2:]]


def _zcard(db: Database, words: Words) -> Reply:
    return len(db.typed(words[1], Sorted) or ())


def _rank(db: Database, words: Words, *, reverse: bool) -> Reply:
    there = db.typed(words[1], Sorted)
    score = None if there is None else there.scores.get(words[2])
    if there is None or score is None:
        return None
    place = bisect_left(there.ordered(), (score, words[2]))
    return len(there) - 1 - place if reverse else place


def _zrank(db: Database, words: Words) -> Reply:
    return _rank(db, words, reverse=False)


def _zrevrank(db: Database, words: Words) -> Reply:
    return _rank(db, words, reverse=True)


@dataclass(slots=True)
class _Range:
    """What a range command asks for."""

    by_score: bool
    reverse: bool
    known: bool
    scores: bool = False
    offset: int = 0
    limit: int = -1


def _read_range(words: Words, asked: _Range) -> None:
    place = 4
    while place < len(words):
        word = words[place].lower()
        if word == b"withscores":
            asked.scores = True
        elif word == b"limit" and place + 2 < len(words):
            asked.offset = integer(words[place + 1])
            asked.limit = integer(words[place + 2])
            place += 2
        elif word == b"rev" and not asked.known:
            asked.reverse = True
        elif word == b"byscore" and not asked.known:
            asked.by_score = True
        else:
            raise RefusedError(SYNTAX)
        place += 1
    if asked.limit != -1 and not asked.by_score:
        raise RefusedError(
            "ERR syntax error, LIMIT is only supported in combination with either "
            "BYSCORE or BYLEX"
        )


def _range(db: Database, words: Words, asked: _Range) -> Reply:
    _read_range(words, asked)
    if asked.by_score:
        low, high = words[2], words[3]
        if asked.reverse:
            low, high = high, low
        ends = bound(low), bound(high)
        there = db.typed(words[1], Sorted)
        found = [] if there is None else _scored(there, *ends)
        if asked.reverse:
            found = found[::-1]
        found = found[asked.offset :] if asked.offset >= 0 else []
        if asked.limit >= 0:
            found = found[: asked.limit]
    else:
        first, last = integer(words[2]), integer(words[3])
        there = db.typed(words[1], Sorted)
        order = [] if there is None else there.ordered()
        found = _ranked(order[::-1] if asked.reverse else order, first, last)
    if asked.scores:
        return Pairs([(member, score) for score, member in found])
    return [member for _, member in found]


def _ranked(
    order: list[tuple[float, bytes]], first: int, last: int
) -> list[tuple[float, bytes]]:
    first = max(0, first + len(order)) if first < 0 else first
    last = last + len(order) if last < 0 else last
    return order[first : last + 1] if last >= 0 else []


def _scored(
    there: Sorted, low: tuple[float, bool], high: tuple[float, bool]
) -> list[tuple[float, bytes]]:
    order = there.ordered()
    side = bisect_right if low[1] else bisect_left
    first = side(order, low[0], key=_score_of)
    side = bisect_left if high[1] else bisect_right
    return order[first : side(order, high[0], key=_score_of)]


def _score_of(entry: tuple[float, bytes]) -> float:
    return entry[0]


def _zrange(db: Database, words: Words) -> Reply:
    return _range(db, words, _Range(by_score=False, reverse=False, known=False))


def _zrevrange(db: Database, words: Words) -> Reply:
    return _range(db, words, _Range(by_score=False, reverse=True, known=True))


def _zrangebyscore(db: Database, words: Words) -> Reply:
    return _range(db, words, _Range(by_score=True, reverse=False, known=True))


def _zrevrangebyscore(db: Database, words: Words) -> Reply:
    return _range(db, words, _Range(by_score=True, reverse=True, known=True))


def _zcount(db: Database, words: Words) -> Reply:
    ends = bound(words[2]), bound(words[3])
    there = db.typed(words[1], Sorted)
    return 0 if there is None else len(_scored(there, *ends))


def _zremrangebyscore(db: Database, words: Words) -> Reply:
    ends = bound(words[2]), bound(words[3])
    there = db.typed(words[1], Sorted)
    if there is None:
        return 0
    gone = [member for _, member in _scored(there, *ends)]
    return _drop(db, words[1], there, gone)


def _zscan(db: Database, words: Words) -> Reply:
    cursor = cursor_of(words[2])
    there = db.typed(words[1], Sorted)
    if there is None:
        return [b"0", []]
    options = scan_options(words[3:])
    small = all(len(member) <= _LONGEST for member in there.scores)
    after, names = page(there.scores, cursor, options, whole=small)
    flat = [part for name in names for part in (name, number(there.scores[name]))]
    return [b"%d" % after, flat]


# --- unions ------------------------------------------------------------------------


def _zunion(db: Database, words: Words) -> Reply:
    count = integer(words[1])
    if count < 1:
        raise RefusedError("ERR at least 1 input key is needed for 'zunion' command")
    if count > len(words) - 2:
        raise RefusedError(SYNTAX)
    sources = [_scores(db, key) for key in words[2 : 2 + count]]
    weights, merge, scores = _union_options(words[2 + count :], count)
    total: dict[bytes, float] = {}
    order = sorted(range(count), key=lambda place: len(sources[place]))
    for place in order:
        for member, score in sources[place].items():
            value = _number(score * weights[place])
            old = total.get(member)
            total[member] = value if old is None else merge(old, value)
    found = Sorted(total).ordered()
    if scores:
        return Pairs([(member, score) for score, member in found])
    return [member for _, member in found]


def _scores(db: Database, key: bytes) -> dict[bytes, float]:
    """Return the members of a sorted set, or of a set, where each has 1."""
    if isinstance(db.find(key), Members):
        return dict.fromkeys(db.typed(key, Members) or (), 1.0)
    there = db.typed(key, Sorted)
    return {} if there is None else there.scores


def _union_options(
    words: Words, count: int
) -> tuple[list[float], Callable[[float, float], float], bool]:
    weights, merge, scores, place = [1.0] * count, _MERGES[b"sum"], False, 0
    while place < len(words):
        word, left = words[place].lower(), len(words) - place - 1
        if word == b"weights" and left >= count:
            given = words[place + 1 : place + 1 + count]
            weights = [
                floating(one, "ERR weight value is not a float") for one in given
            ]
            place += count
        elif word == b"aggregate" and left and words[place + 1].lower() in _MERGES:
            merge = _MERGES[words[place + 1].lower()]
            place += 1
        elif word == b"withscores":
            scores = True
        else:
            raise RefusedError(SYNTAX)
        place += 1
    return weights, merge, scores


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else value


_MERGES: dict[bytes, Callable[[float, float], float]] = {
    b"sum": lambda one, other: _number(one + other),
    b"min": min,
    b"max": max,
}

COMMANDS: dict[str, Command] = {
    "zunion": Command(_zunion, -3),
    "zadd": Command(_zadd, -4, write=True, grows=True),
    "zincrby": Command(_zincrby, 4, write=True, grows=True),
    "zrem": Command(_zrem, -3, write=True),
    "zscore": Command(_zscore, 3),
    "zmscore": Command(_zmscore, -3),
    "zcard": Command(_zcard, 2),
    "zrank": Command(_zrank, 3),
    "zrevrank": Command(_zrevrank, 3),
    "zrange": Command(_zrange, -4),
    "zrevrange": Command(_zrevrange, -4),
    "zrangebyscore": Command(_zrangebyscore, -4),
    "zrevrangebyscore": Command(_zrevrangebyscore, -4),
    "zcount": Command(_zcount, 4),
    "zremrangebyscore": Command(_zremrangebyscore, 4, write=True),
    "zscan": Command(_zscan, -3),
}
