"""Key names read backwards: what a key is, by its name alone.

A namespace may be named like a shard of another one (``a`` and ``a:5``); the
names of the keys behind the tag tell them apart.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from aiosched.stores.redis.keys import Keys

__all__ = ["QUARANTINE", "TYPES", "Place", "classified", "pattern"]

QUARANTINE = "quarantine"
"""Behind the tag of each shard and of the namespace: what was put aside."""

TYPES = {
    "j": "string",
    "a": "zset",
    "x": "string",
    "b": "string",
    "k": "set",
    "xs": "set",
    "l": "stream",
    "g": "string",
    "rev": "string",
    "meta": "hash",
    "members": "hash",
    "queues": "set",
    "executors": "hash",
    "kw": "set",
}
"""The type of each of our keys, by its room."""
_NAMED = {"j", "a", "x", "b", "k", "g", "kw"}
_OF_SHARD = {"j", "a", "x", "b", "k", "g", "xs", "l", "rev"}
_OF_ALL = {"meta", "members", "queues", "executors", "kw"}
_SHAPES = {
    "x": re.compile(rb"[\w-]{12}", re.ASCII),
    "b": re.compile(rb"[0-9a-f]{32}:.+", re.ASCII | re.DOTALL),
}
_SPECIAL = re.compile(r"([*?\[\]\\^])")


class Place(NamedTuple):
    """What a key is.

    Attributes:
        room: The word behind the tag, as in :data:`TYPES`, ``quarantine``, or
            empty for what is none of ours.
        shard: Its shard, -1 for what belongs to the whole namespace.
        name: Id, queue, keyword or content name; None: there is none, or it is
            no text.
    """

    room: str
    shard: int
    name: str | None


def pattern(keys: Keys, shard: int | None = None, room: str = "") -> str:
    """Return the pattern with which SCAN finds a namespace's keys.

    It also finds those of namespaces whose names begin like this one;
    :func:`classified` leaves them out.

    Args:
        keys: The namespace's.
        shard: Only keys of one shard; None: of all.
        room: Only keys whose names begin so behind the shard's tag.
    """
    namespace = _SPECIAL.sub(r"\\\1", keys.namespace)
    if shard is None:
        return f"{{{namespace}[:}}]*"
    return f"{{{namespace}:{shard}}}:{room}*"


def classified(keys: Keys, raw: bytes) -> Place | None:
    """Tell what a key is; None: it belongs to another namespace."""
    head, closed, tail = raw.partition(b"}")
    start = b"{" + keys.namespace.encode()
    if not closed or not head.startswith(start):
        return None
    middle = head[len(start) :]
    room, colon, name = (
        tail[1:].partition(b":") if tail[:1] == b":" else (b"", b"", b"")
    )
    word = room.decode("ascii", "replace")
    if not middle:
        return _judged(word, -1, name if colon else None, _OF_ALL)
    number = middle[1:]
    if middle[:1] != b":" or not number.isdigit():
        return None
    # The tag of a namespace that is named like one of our shards.
    if word in _OF_ALL or (word == QUARANTINE and not _ours(keys, number)):
        return None
    if not _ours(keys, number):
        return Place("", -1, None) if word in _OF_SHARD else None
    return _judged(word, int(number), name if colon else None, _OF_SHARD)


def _ours(keys: Keys, number: bytes) -> bool:
    # Python refuses to read a number of thousands of digits, such as a key may hold.
    return (
        len(number) < 10
        and str(int(number)).encode() == number
        and int(number) < len(keys.tags)
    )


def _judged(word: str, shard: int, name: bytes | None, rooms: set[str]) -> Place:
    if word == QUARANTINE:
        return Place(QUARANTINE, shard, None)
    if word not in rooms or (name is not None) is not (word in _NAMED):
        return Place("", shard, None)
    shape = _SHAPES.get(word)
    if shape is not None and not shape.fullmatch(name or b""):
        return Place("", shard, None)
    try:
        return Place(word, shard, None if name is None else name.decode())
    except UnicodeDecodeError:
        return Place("", shard, None)
