"""Streams."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiosched.testing.redis_model.database import Database
from aiosched.testing.redis_model.resp import NO_ARRAY, RefusedError, Reply
from aiosched.testing.redis_model.values import Entry, Stream, StreamId
from aiosched.testing.redis_model.words import (
    SYNTAX,
    Command,
    Words,
    bad_arity,
    integer,
)

__all__ = ["COMMANDS"]

_MOST = 2**64 - 1
_LAST: StreamId = (_MOST, _MOST)
_DIGITS = re.compile(rb"[ \t\n\v\f\r]*\+?[0-9]+")
_BAD_ID = "ERR Invalid stream ID specified as stream command argument"
_LONGEST_ID = 127
_NODES_TRIMMED = 100 * 100


@dataclass(slots=True)
class _Options:
    """What stands between the key and the fields of XADD, or behind it in XTRIM."""

    place: int
    make: bool = True
    longest: int | None = None
    oldest: StreamId | None = None
    about: bool = False
    limit: int | None = None
    id: StreamId | None = None
    any_sequence: bool = False

    @property
    def trims(self) -> bool:
        return self.longest is not None or self.oldest is not None


def _unsigned(word: bytes) -> int:
    if _DIGITS.fullmatch(word) is None or int(word) > _MOST:
        raise RefusedError(_BAD_ID)
    return int(word)


def _id(
    word: bytes, sequence: int, *, strict: bool = False, star: bool = False
) -> tuple[StreamId, bool]:
    """Read an id; say whether its sequence is to be chosen."""
    if len(word) > _LONGEST_ID:
        raise RefusedError(_BAD_ID)
    if not strict and word == b"-":
        return (0, 0), False
    if not strict and word == b"+":
        return _LAST, False
    millis, dash, rest = word.partition(b"-")
    first = _unsigned(millis)
    if not dash:
        return (first, sequence), False
    if star and rest == b"*":
        return (first, 0), True
    return (first, _unsigned(rest)), False


def _options(words: Words, *, adding: bool) -> _Options:
    found = _Options(2)
    while found.place < len(words):
        word = words[found.place].lower()
        more = len(words) - 1 - found.place
        if adding and word == b"*":
            break
        if word in {b"maxlen", b"minid"} and more:
            _read_trim(words, found, word, more)
        elif word == b"limit" and more:
            found.place += 1
            found.limit = integer(words[found.place])
            if found.limit < 0:
                raise RefusedError("ERR The LIMIT argument must be >= 0.")
        elif adding and word == b"nomkstream":
            found.make = False
        elif adding:
            found.id, found.any_sequence = _id(
                words[found.place], 0, strict=True, star=True
            )
            break
        else:
            raise RefusedError(SYNTAX)
        found.place += 1
    _check(found, adding=adding)
    return found


def _read_trim(words: Words, found: _Options, word: bytes, more: int) -> None:
    if found.trims:
        raise RefusedError(
            "ERR syntax error, MAXLEN and MINID options at the same time are not "
            "compatible"
        )
    found.about = False
    if more >= 2 and words[found.place + 1] in {b"~", b"="}:
        found.about = words[found.place + 1] == b"~"
        found.place += 1
    found.place += 1
    if word == b"maxlen":
        found.longest = integer(words[found.place])
        if found.longest < 0:
            raise RefusedError("ERR The MAXLEN argument must be >= 0.")
    else:
        found.oldest = _id(words[found.place], 0, strict=True)[0]


def _check(found: _Options, *, adding: bool) -> None:
    if found.limit and not found.trims:
        raise RefusedError(
            "ERR syntax error, LIMIT cannot be used without specifying a trimming "
            "strategy"
        )
    if not adding and not found.trims:
        raise RefusedError(
            "ERR syntax error, XTRIM must be called with a trimming strategy"
        )
    if found.limit is not None and not found.about:
        raise RefusedError(
            "ERR syntax error, LIMIT cannot be used without the special ~ option"
        )


def _xadd(db: Database, words: Words) -> Reply:
    found = _options(words, adding=True)
    fields = words[found.place + 1 :]
    if len(fields) < 2 or len(fields) % 2:
        raise bad_arity("xadd")
    if found.id == (0, 0) and not found.any_sequence:
        raise RefusedError("ERR The ID specified in XADD must be greater than 0-0")
    stream = db.typed(words[1], Stream)
    if stream is None and not found.make:
        return None
    place = _next(db, Stream() if stream is None else stream, found)
    stream = db.own(words[1], Stream)
    stream.append(place, tuple(fields))
    if found.trims:
        _trim(stream, found)
    return b"%d-%d" % place


def _next(db: Database, stream: Stream, found: _Options) -> StreamId:
    if stream.last == _LAST:
        raise RefusedError(
            "ERR The stream has exhausted the last possible ID, unable to add more "
            "items"
        )
    millis, sequence = stream.last
    following = (millis, sequence + 1) if sequence < _MOST else (millis + 1, 0)
    if found.id is None:
        now = db.now()
        return (now, 0) if now > millis else following
    place = found.id
    if found.any_sequence and place[0] == millis and sequence < _MOST:
        place = following
    if place <= stream.last:
        raise RefusedError(
            "ERR The ID specified in XADD is equal or smaller than the target stream "
            "top item"
        )
    return place


def _trim(stream: Stream, found: _Options) -> int:
    entries = list(stream)
    if found.longest is not None:
        count = max(0, len(entries) - found.longest)
    else:
        oldest = found.oldest or (0, 0)
        count = sum(1 for entry in entries if entry[0] < oldest)
    if found.about:
        limit = _NODES_TRIMMED if found.limit is None else found.limit
        count = _whole_nodes(entries, count, limit)
    if count:
        stream.cut(count)
    return count


def _whole_nodes(entries: list[Entry], count: int, limit: int) -> int:
    """Return how many entries fill the nodes that may go altogether."""
    done = place = 0
    while place < len(entries):
        node = entries[place][2]
        while place < len(entries) and entries[place][2] == node:
            place += 1
        if place > count or (limit and place > limit):
            break
        done = place
    return done


def _xtrim(db: Database, words: Words) -> Reply:
    found = _options(words, adding=False)
    stream = db.typed(words[1], Stream)
    if stream is None:
        return 0
    if _trim(stream.copy(), found):
        db.touch(words[1])
    return _trim(stream, found)


def _xdel(db: Database, words: Words) -> Reply:
    stream = db.typed(words[1], Stream)
    if stream is None:
        return 0
    places = {_id(word, 0, strict=True)[0] for word in words[2:]}
    if any(entry[0] in places for entry in stream):
        db.touch(words[1])
    return stream.remove(places)


def _xlen(db: Database, words: Words) -> Reply:
    return len(db.typed(words[1], Stream) or ())


def _end(word: bytes, sequence: int, step: int) -> StreamId:
    """Read one end of an interval; an exclusive one is moved by a step."""
    if word[:1] != b"(" or len(word) == 1:
        return _id(word, sequence)[0]
    millis, number = _id(word[1:], sequence, strict=True)[0]
    place = (millis << 64) + number + step
    if not 0 <= place < 1 << 128:
        side = "start" if step > 0 else "end"
        raise RefusedError(f"ERR invalid {side} ID for the interval")
    return place >> 64, place & _MOST


def _between(db: Database, words: Words, *, reverse: bool) -> Reply:
    low, high = (words[3], words[2]) if reverse else (words[2], words[3])
    first, last = _end(low, 0, 1), _end(high, _MOST, -1)
    count = -1
    place = 4
    while place < len(words):
        if words[place].lower() != b"count" or place + 1 == len(words):
            raise RefusedError(SYNTAX)
        count = max(0, integer(words[place + 1]))
        place += 2
    stream = db.typed(words[1], Stream)
    if stream is None:
        return []
    if count == 0:
        return NO_ARRAY
    found = stream.between(first, last)
    if reverse:
        found.reverse()
    if count > 0:
        found = found[:count]
    return [[b"%d-%d" % place, list(fields)] for place, fields, _ in found]


def _xrange(db: Database, words: Words) -> Reply:
    return _between(db, words, reverse=False)


def _xrevrange(db: Database, words: Words) -> Reply:
    return _between(db, words, reverse=True)


COMMANDS: dict[str, Command] = {
    "xadd": Command(_xadd, -5, write=True, grows=True),
    "xtrim": Command(_xtrim, -4, write=True),
    "xdel": Command(_xdel, -3, write=True),
    "xlen": Command(_xlen, 2),
    "xrange": Command(_xrange, -4),
    "xrevrange": Command(_xrevrange, -4),
}
