"""The wire: commands out of bytes, replies into bytes; RESP2 and RESP3."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union

__all__ = [
    "NO_ARRAY",
    "Failure",
    "NoArray",
    "Pairs",
    "ProtocolError",
    "Push",
    "RefusedError",
    "Reply",
    "Table",
    "Text",
    "Unique",
    "encode",
    "number",
    "take",
]

_LONGEST_INLINE = 64 * 1024
_MOST_WORDS = 1024 * 1024
_LONGEST_WORD = 512 * 1024 * 1024


class RefusedError(Exception):
    """A command is answered with an error; the text begins with its code."""


class ProtocolError(Exception):
    """The bytes are no commands; the connection is closed after the answer."""


class Failure(str):
    """A reply that is an error."""

    __slots__ = ()


class Text(str):
    """A reply for people: verbatim text in RESP3, a bulk string in RESP2."""

    __slots__ = ()


class NoArray:
    """The reply of a transaction that was aborted."""

    __slots__ = ()


NO_ARRAY = NoArray()


class Table(dict[bytes, "Reply"]):
    """A reply that is a map in RESP3 and a flat array in RESP2."""

    __slots__ = ()


class Pairs(list[tuple[bytes, float]]):
    """Members with scores: pairs in RESP3, a flat array in RESP2."""

    __slots__ = ()


class Unique(list[bytes]):
    """A reply that is a set in RESP3 and an array in RESP2."""

    __slots__ = ()


class Push(tuple["Reply", ...]):
    """A message that nobody asked for: a push in RESP3, an array in RESP2."""

    __slots__ = ()


Reply: TypeAlias = Union[  # noqa: UP007
    int, bytes, str, float, NoArray, Mapping[bytes, "Reply"], Sequence["Reply"], None
]
"""What a command answers; ``str`` is a simple string, ``bytes`` a bulk string."""


def number(value: float) -> bytes:
    """Write a score as a server of version 7.0 does."""
    if math.isinf(value):
        return b"inf" if value > 0 else b"-inf"
    return b"%.17g" % value


def encode(reply: Reply, protocol: int) -> bytes:
    """Write a reply in protocol 2 or 3."""
    if type(reply) is bytes:
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    if type(reply) is int:
        return b":%d\r\n" % reply
    if type(reply) is str:
        return b"+%b\r\n" % reply.encode()
    if reply is None:
        return b"$-1\r\n" if protocol == 2 else b"_\r\n"
    if type(reply) is list or type(reply) is tuple:
        parts = [encode(one, protocol) for one in reply]
        return b"*%d\r\n%b" % (len(parts), b"".join(parts))
    return _encode_rare(reply, protocol)


def _encode_rare(reply: Reply, protocol: int) -> bytes:
    modern = protocol != 2
    if isinstance(reply, Failure):
        return b"-%b\r\n" % reply.encode("latin-1")
    if isinstance(reply, Text):
        raw = reply.encode()
        if modern:
            return b"=%d\r\ntxt:%b\r\n" % (len(raw) + 4, raw)
        return encode(raw, protocol)
    if isinstance(reply, float):
        if modern:
            return b",%b\r\n" % number(reply)
        return encode(number(reply), protocol)
    if isinstance(reply, NoArray):
        return b"_\r\n" if modern else b"*-1\r\n"
    if isinstance(reply, Mapping):
        flat = [encode(part, protocol) for pair in reply.items() for part in pair]
        head = b"%%%d\r\n" % len(reply) if modern else b"*%d\r\n" % len(flat)
        return head + b"".join(flat)
    if isinstance(reply, Pairs):
        if modern:
            return encode([list(pair) for pair in reply], protocol)
        return encode([part for pair in reply for part in pair], protocol)
    assert isinstance(reply, Sequence)
    sign = b"*"
    if modern and isinstance(reply, Push):
        sign = b">"
    elif modern and isinstance(reply, Unique):
        sign = b"~"
    parts = [encode(one, protocol) for one in reply]
    return b"%b%d\r\n%b" % (sign, len(parts), b"".join(parts))


def take(data: bytes | bytearray, place: int) -> tuple[list[bytes], int] | None:
    """Read one command that begins at ``place``.

    Returns:
        Its words (none: an empty line, to be passed over) and the place behind
        it; None when it is not all there yet.

    Raises:
        ProtocolError: This is no command.
    """
    end = data.find(b"\r\n", place)
    if data[place : place + 1] != b"*":
        return _take_line(data, place)
    if end < 0:
        if len(data) - place > _LONGEST_INLINE:
            raise ProtocolError("too big mbulk count string")
        return None
    count = _length(data[place + 1 : end], _MOST_WORDS, "invalid multibulk length")
    words: list[bytes] = []
    place = end + 2
    for _ in range(count):
        end = data.find(b"\r\n", place)
        if end < 0:
            if len(data) - place > _LONGEST_INLINE:
                raise ProtocolError("too big bulk count string")
            return None
        if data[place] != 36:
            sign = chr(data[place])
            raise ProtocolError(f"expected '$', got '{sign}'")
        size = _length(data[place + 1 : end], _LONGEST_WORD, "invalid bulk length")
        if size < 0:
            raise ProtocolError("invalid bulk length")
        start = end + 2
        place = start + size + 2
        if place > len(data):
            return None
        words.append(bytes(data[start : start + size]))
    return words, place


def _take_line(data: bytes | bytearray, place: int) -> tuple[list[bytes], int] | None:
    """Read a command typed by hand: words between spaces, without quotes."""
    end = data.find(b"\n", place)
    if end < 0:
        if len(data) - place > _LONGEST_INLINE:
            raise ProtocolError("too big inline request")
        return None
    return bytes(data[place:end]).split(), end + 1


def _length(raw: bytes | bytearray, most: int, problem: str) -> int:
    digits = raw[1:] if raw[:1] == b"-" else raw
    if not digits.isdigit() or (len(digits) > 1 and digits[:1] == b"0"):
        raise ProtocolError(problem)
    value = int(raw)
    if value > most:
        raise ProtocolError(problem)
    return value
