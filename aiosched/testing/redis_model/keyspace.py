"""Keys of whatever type: existence, deadlines, scans; and the server's time."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence

from aiosched.testing.redis_model.database import Database
from aiosched.testing.redis_model.resp import RefusedError, Reply
from aiosched.testing.redis_model.values import kind
from aiosched.testing.redis_model.words import (
    MAX_INT,
    MIN_INT,
    SYNTAX,
    Command,
    Words,
    integer,
)

__all__ = ["COMMANDS", "ScanOptions", "cursor_of", "glob", "page", "scan_options"]

_SMALL = 128
_LONGEST_CURSOR = 2**64 - 1
_DEFAULT_COUNT = 10


def _del(db: Database, words: Words) -> Reply:
    return sum([db.remove(key) for key in words[1:]])


def _exists(db: Database, words: Words) -> Reply:
    return sum([db.find(key) is not None for key in words[1:]])


def _type(db: Database, words: Words) -> Reply:
    return kind(db.find(words[1]))


def _expire(db: Database, words: Words, factor: int, name: str) -> Reply:
    flags = _expire_flags(words)
    when = integer(words[2])
    bad = RefusedError(f"ERR invalid expire time in '{name}' command")
    if not MIN_INT <= when * factor <= MAX_INT - db.now():
        raise bad
    now = db.now()
    when = when * factor + now
    key = words[1]
    if db.find(key) is None:
        return 0
    old = db.deadlines.get(key)
    if (
        (b"nx" in flags and old is not None)
        or (b"xx" in flags and old is None)
        or (b"gt" in flags and (old is None or when <= old))
        or (b"lt" in flags and old is not None and when >= old)
    ):
        return 0
    if when <= now:
        db.remove(key)
    else:
        db.touch(key)
        db.deadlines[key] = when
    return 1


def _expire_flags(words: Words) -> set[bytes]:
    flags = {word.lower() for word in words[3:]}
    for word in words[3:]:
        if word.lower() not in {b"nx", b"xx", b"gt", b"lt"}:
            raise RefusedError(f"ERR Unsupported option {word.decode('latin-1')}")
    if b"nx" in flags and flags & {b"xx", b"gt", b"lt"}:
        raise RefusedError(
            "ERR NX and XX, GT or LT options at the same time are not compatible"
        )
    if {b"gt", b"lt"} <= flags:
        raise RefusedError("ERR GT and LT options at the same time are not compatible")
    return flags


def _expire_seconds(db: Database, words: Words) -> Reply:
    return _expire(db, words, 1000, "expire")


def _expire_millis(db: Database, words: Words) -> Reply:
    return _expire(db, words, 1, "pexpire")


def _pttl(db: Database, words: Words) -> Reply:
    if db.find(words[1]) is None:
        return -2
    deadline = db.deadlines.get(words[1])
    return -1 if deadline is None else max(0, deadline - db.now())


def _ttl(db: Database, words: Words) -> Reply:
    left = _pttl(db, words)
    assert isinstance(left, int)
    return left if left < 0 else (left + 500) // 1000


def _persist(db: Database, words: Words) -> Reply:
    if db.find(words[1]) is None or words[1] not in db.deadlines:
        return 0
    db.touch(words[1])
    del db.deadlines[words[1]]
    return 1


def _time(db: Database, _words: Words) -> Reply:
    now = db.clock_us()
    return [b"%d" % (now // 1_000_000), b"%d" % (now % 1_000_000)]


def _dbsize(db: Database, _words: Words) -> Reply:
    return len(db.values)


def _keys(db: Database, words: Words) -> Reply:
    pattern = glob(words[1])
    found = [key for key in sorted(db.values) if pattern.fullmatch(key)]
    return [key for key in found if db.find(key) is not None]


class ScanOptions:
    """Options of the scanning commands.

    Attributes:
        count: About how many elements to return.
        pattern: What their names must look like; None: anything.
        kind: Of which type keys must be; None: of any.
    """

    __slots__ = ("count", "kind", "pattern")

    def __init__(self) -> None:
        """Want everything, a few at a time."""
        self.count: int = _DEFAULT_COUNT
        self.pattern: re.Pattern[bytes] | None = None
        self.kind: str | None = None


def cursor_of(word: bytes) -> int:
    """Read a cursor.

    Raises:
        RefusedError: It is none.
    """
    text = word[1:] if word[:1] == b"+" else word
    if not text.isdigit() or int(text) > _LONGEST_CURSOR:
        raise RefusedError("ERR invalid cursor")
    return int(text)


def scan_options(words: Words, *, keys: bool = False) -> ScanOptions:
    """Read the options behind a cursor.

    Raises:
        RefusedError: There is something else, or too little.
    """
    options = ScanOptions()
    for place in range(0, len(words), 2):
        name = words[place].lower()
        if place + 1 == len(words):
            raise RefusedError(SYNTAX)
        if name == b"count":
            options.count = integer(words[place + 1])
            if options.count < 1:
                raise RefusedError(SYNTAX)
        elif name == b"match":
            options.pattern = glob(words[place + 1])
        elif name == b"type" and keys:
            options.kind = words[place + 1].decode("latin-1").lower()
        else:
            raise RefusedError(SYNTAX)
    return options


def page(
    names: Iterable[bytes], cursor: int, options: ScanOptions, *, whole: bool
) -> tuple[int, Sequence[bytes]]:
    """Return the next cursor and a page of names.

    The order is that of a checksum, and a cursor is the checksum at which the
    next page begins, so what is there all the while is returned in any case.

    Args:
        names: All names.
        cursor: Where to begin.
        options: How many.
        whole: It is kept in one piece, of which a server returns everything.
    """
    places = sorted([(zlib.crc32(name) + 1, name) for name in names])
    if whole and len(places) <= _SMALL:
        return 0, _matching([name for _, name in places], options)
    rest = [one for one in places if one[0] >= cursor]
    end = options.count
    while end < len(rest) and rest[end][0] == rest[end - 1][0]:
        end += 1
    after = rest[end][0] if end < len(rest) else 0
    return after, _matching([name for _, name in rest[:end]], options)


def _matching(names: list[bytes], options: ScanOptions) -> list[bytes]:
    pattern = options.pattern
    if pattern is None:
        return names
    return [name for name in names if pattern.fullmatch(name)]


def _scan(db: Database, words: Words) -> Reply:
    cursor = cursor_of(words[1])
    options = scan_options(words[2:], keys=True)
    after, keys = page(db.values, cursor, options, whole=False)
    found = [key for key in keys if db.find(key) is not None]
    if options.kind is not None:
        found = [key for key in found if kind(db.find(key)) == options.kind]
    return [b"%d" % after, found]


def glob(pattern: bytes) -> re.Pattern[bytes]:
    r"""Compile a pattern of a server: ``*``, ``?``, ``[a-z]``, ``[^a]``, ``\x``."""
    parts: list[bytes] = []
    place = 0
    while place < len(pattern):
        char = pattern[place : place + 1]
        place += 1
        if char == b"*":
            parts.append(b".*")
        elif char == b"?":
            parts.append(b".")
        elif char == b"[":
            end = pattern.find(b"]", place + 1)
            end = len(pattern) if end < 0 else end
            inner = pattern[place:end]
            sign = b"^" if inner[:1] == b"^" else b""
            body = re.escape(inner[len(sign) :]).replace(b"\\-", b"-")
            parts.append(b"[%b%b]" % (sign, body))
            place = end + 1
        elif char == b"\\" and place < len(pattern):
            parts.append(re.escape(pattern[place : place + 1]))
            place += 1
        else:
            parts.append(re.escape(char))
    return re.compile(b"".join(parts), re.DOTALL)


def _flush(db: Database, words: Words) -> Reply:
    if len(words) > 2 or (len(words) == 2 and words[1].lower() not in _SPEEDS):
        raise RefusedError(SYNTAX)
    db.flush()
    return "OK"


_SPEEDS = {b"async", b"sync"}


def _unlink(db: Database, words: Words) -> Reply:
    return _del(db, words)


def _rename(db: Database, words: Words) -> Reply:
    value = db.find(words[1])
    if value is None:
        raise RefusedError("ERR no such key")
    if words[1] == words[2]:
        return "OK"
    until = db.deadlines.pop(words[1], None)
    db.remove(words[2])
    db.touch(words[1])
    del db.values[words[1]]
    db.put(words[2], value)
    if until is not None:
        db.deadlines[words[2]] = until
    return "OK"


def _echo(_db: Database, words: Words) -> Reply:
    return words[1]


COMMANDS: dict[str, Command] = {
    "del": Command(_del, -2, write=True),
    "unlink": Command(_unlink, -2, write=True),
    "exists": Command(_exists, -2),
    "type": Command(_type, 2),
    "expire": Command(_expire_seconds, -3, write=True),
    "pexpire": Command(_expire_millis, -3, write=True),
    "ttl": Command(_ttl, 2),
    "pttl": Command(_pttl, 2),
    "persist": Command(_persist, 2, write=True),
    "time": Command(_time, 1, early=True),
    "echo": Command(_echo, 2, early=True),
    "dbsize": Command(_dbsize, 1),
    "keys": Command(_keys, 2),
    "scan": Command(_scan, -2),
    "flushdb": Command(_flush, -1, write=True),
    "rename": Command(_rename, 3, write=True),
}
