"""Says the same to the model and to a real server, and compares the answers."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiosched.testing import redis_model

__all__ = ["Both", "DifferenceError", "Line", "packed"]

Words = Sequence[bytes]

_PATIENCE = 3.0
_SLOW = 30_000
_UNORDERED = {"smembers", "keys", "hkeys", "hvals", "sscan", "hscan", "zscan", "scan"}
_MESSAGES = {b"message", b"pmessage", b"smessage"}
_TIMED = {"pttl", "ttl"}
_OF_ITS_OWN = {"time", "info", "client|id", "hello"}


class DifferenceError(AssertionError):
    """The model and the server do not say the same."""


class Error(str):
    """An error reply."""

    __slots__ = ()


class Pushed(list[Any]):
    """A message of RESP3 that nobody asked for."""


def packed(words: Words) -> bytes:
    """Return the bytes of a command."""
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(words), b"".join(parts))


class _Reader:
    """Reads replies out of what has come so far."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.aside: list[Any] = []

    def more(self) -> None:
        """Get more bytes, or complain."""
        raise DifferenceError(f"the answer ends early: {self.data[-80:]!r}")

    def read(self) -> Any:
        """Return the next reply; messages before or inside it are put aside.

        Where a message to oneself stands is another thing in each version.
        """
        while _is_message(item := self._item()):
            self.aside.append(item)
        return item

    def message(self) -> Any:
        """Return the next message."""
        return self.aside.pop(0) if self.aside else self._item()

    def _item(self) -> Any:
        line = self._line()
        sign, rest = line[:1], line[1:]
        if sign == b"-":
            return Error(rest.decode("latin-1"))
        if sign == b"+":
            return rest.decode("latin-1")
        if sign == b":":
            return int(rest)
        if sign == b",":
            return ("score", float(rest))
        if sign == b"_" or rest == b"-1":
            return None
        if sign in b"$=":
            return self._bytes(int(rest) + 2)[:-2]
        count = int(rest) * (2 if sign == b"%" else 1)
        items = [self.read() for _ in range(count)]
        return Pushed(items) if sign == b">" else items

    def _line(self) -> bytes:
        while (end := self.data.find(b"\r\n")) < 0:
            self.more()
        line, self.data = self.data[:end], self.data[end + 2 :]
        return line

    def _bytes(self, count: int) -> bytes:
        while len(self.data) < count:
            self.more()
        found, self.data = self.data[:count], self.data[count:]
        return found


class _Wire(_Reader):
    """One connection to the real server."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self.socket = socket.create_connection(address, timeout=_PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def more(self) -> None:
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            raise DifferenceError("the server says nothing more") from None
        if not data:
            raise DifferenceError("the server hung up")
        self.data += data


@dataclass
class Line:
    """One connection to each of the two.

    Attributes:
        wire: To the server.
        model: To the model.
        heard: Messages that the model has pushed and nobody has compared.
    """

    wire: _Wire
    model: redis_model.Connection
    heard: list[Any] = field(default_factory=list)

    @staticmethod
    def packed(words: Words) -> bytes:
        """Return the bytes of a command."""
        return packed(words)

    def pushed(self, data: bytes) -> None:
        """Take note of a message from the model."""
        self.heard.append(_Reader(data).message())

    def replies(self, data: bytes) -> list[Any]:
        """Feed the model and return its replies; messages are noted."""
        reader = _Reader(self.model.feed(data))
        found: list[Any] = []
        while reader.data:
            item = reader.message()
            (self.heard if _is_message(item) else found).append(item)
        return found


class Both:
    """A server and a model that are told the same.

    Attributes:
        lines: The connections.
        spoken: Everything said, for the report: (number of the line, words).
        commands: How many commands were compared.
        server: The model.
    """

    def __init__(self, address: tuple[str, int], known: Sequence[Known] = ()) -> None:
        self.server = redis_model.Server(lambda: time.time_ns() // 1000)
        self.lines: list[Line] = []
        self.spoken: list[tuple[int, list[Words]]] = []
        self.commands = 0
        self._address = address
        self._known = known

    def connect(self) -> int:
        """Open one more connection to each; return its number."""
        line = Line(_Wire(self._address), self.server.connect())
        line.model.pushed = line.pushed
        self.lines.append(line)
        return len(self.lines) - 1

    def close(self) -> None:
        """Hang up everywhere."""
        for line in self.lines:
            line.wire.socket.close()
            line.model.close()
        self.lines.clear()

    def __enter__(self) -> Both:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def say(self, number: int, *packet: Words) -> list[Any]:
        """Send one packet to both, compare, and return the answers.

        Raises:
            DifferenceError: They do not say the same.
        """
        line = self.lines[number]
        data = b"".join([packed(words) for words in packet])
        self.spoken.append((number, list(packet)))
        self.commands += len(packet)
        line.wire.socket.sendall(data)
        found: list[Any] = []
        for words in packet:
            queue = line.model.queue
            inside = [one for _, one in queue.commands] if queue is not None else []
            mine = line.replies(packed(words))
            said = [line.wire.read() for _ in mine]
            if len(mine) > 1 and words[0].upper().endswith(b"UNSUBSCRIBE"):
                # All of them, in an order of the server's own.
                said, mine = _names_apart(said), _names_apart(mine)
            for reply, theirs in zip(mine, said, strict=True):
                if words[0].upper() == b"EXEC":
                    self._compare_exec(number, inside, theirs, reply)
                else:
                    self._compare(number, words, theirs, reply)
            found += mine
        self._hear()
        return found

    def _compare_exec(
        self, number: int, inside: list[Words], theirs: Any, mine: Any
    ) -> None:
        whole = isinstance(mine, list) and isinstance(theirs, list)
        if not whole or not len(theirs) == len(mine) == len(inside):
            self._compare(number, (b"EXEC",), theirs, mine)
            return
        for words, one, other in zip(inside, theirs, mine, strict=True):
            self._compare(number, words, one, other)

    def _hear(self) -> None:
        """Compare what was pushed to others."""
        for number, line in enumerate(self.lines):
            if line.heard:
                mine, line.heard = line.heard, []
                theirs = [line.wire.message() for _ in mine]
                self._compare(number, (b"(pushed)",), theirs, mine)

    def refused_by_server(self, number: int) -> str:
        """Return the line with which the server refuses a write."""
        wire = self.lines[number].wire
        wire.socket.sendall(packed([b"SET", b"probe", b"v"]))
        reply = wire.read()
        assert isinstance(reply, Error), reply
        return str(reply)

    def settled(self) -> None:
        """See that the server has nothing more to say to anybody."""
        for number, line in enumerate(self.lines):
            ping = packed([b"PING", b"settled"])
            line.wire.socket.sendall(ping)
            mine = line.replies(ping)
            theirs = [line.wire.read() for _ in mine]
            self._compare(number, (b"PING",), theirs, mine)
            self._compare(number, (b"(pushed)",), line.wire.aside, [])

    def _compare(self, number: int, words: Words, theirs: Any, mine: Any) -> None:
        if theirs == mine:
            return
        name = words[0].decode("latin-1").lower()
        if name == "client" and len(words) > 1:
            name += "|" + words[1].decode("latin-1").lower()
        if _alike(name, theirs, mine):
            return
        shown = b" ".join(words).decode("latin-1")
        for known in self._known:
            if known.explains(shown, theirs, mine):
                return
        raise DifferenceError(
            f"line {number}: {shown!r}\n  server: {theirs!r}\n  model:  {mine!r}\n"
            f"after:\n{self.story()}"
        )

    def story(self, last: int = 12) -> str:
        """Return what was said of late."""
        return "\n".join(
            f"  {number}: " + " | ".join(repr(b" ".join(words))[1:] for words in packet)
            for number, packet in self.spoken[-last:]
        )


@dataclass(frozen=True, slots=True)
class Known:
    """A known difference between versions of servers.

    Attributes:
        servers: Pattern of the names of servers that differ from the model.
        command: Pattern of the command, as typed.
        theirs: Pattern of what such a server says.
        mine: Pattern of what the model says.
        why: The difference in words.
    """

    servers: str
    command: str
    theirs: str
    mine: str
    why: str

    def explains(self, command: str, theirs: Any, mine: Any) -> bool:
        """Say whether this is that difference."""
        return (
            re.fullmatch(self.command, command, re.IGNORECASE | re.DOTALL) is not None
            and re.fullmatch(self.theirs, repr(theirs), re.DOTALL) is not None
            and re.fullmatch(self.mine, repr(mine), re.DOTALL) is not None
        )


def _names_apart(replies: list[Any]) -> list[Any]:
    """Put names and counts in order, each for itself."""
    columns = [sorted(column, key=repr) for column in zip(*replies, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def _is_message(item: Any) -> bool:
    return isinstance(item, Pushed) and bool(item) and item[0] in _MESSAGES


def _alike(name: str, theirs: Any, mine: Any) -> bool:
    """Say whether two different answers mean the same."""
    if type(theirs) is not type(mine):
        return False
    if name in _OF_ITS_OWN:
        return not isinstance(mine, Error)
    if name in _TIMED and isinstance(mine, int):
        return bool(min(mine, theirs) >= 0 and abs(mine - theirs) <= _SLOW)
    if name in _UNORDERED and isinstance(mine, list):
        if name.endswith("scan"):
            if theirs[0] != b"0" or mine[0] != b"0":
                return True  # a page of its own choice; see test_scans
            return bool(_as_scan(name, theirs) == _as_scan(name, mine))
        return bool(sorted(theirs) == sorted(mine))
    if name == "hgetall" and isinstance(mine, list):
        return _as_pairs(theirs) == _as_pairs(mine)
    return name.startswith("z") and _scores_alike(theirs, mine)


def _as_scan(name: str, reply: list[Any]) -> Any:
    cursor, items = reply
    if name in {"hscan", "zscan"}:
        pairs = _as_pairs(items)
        if name == "zscan":
            return cursor, {member: float(score) for member, score in pairs.items()}
        return cursor, pairs
    return cursor, sorted(items)


def _as_pairs(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _scores_alike(theirs: Any, mine: Any) -> bool:
    """Compare scores as numbers: versions print them differently."""
    if isinstance(mine, list):
        return (
            isinstance(theirs, list)
            and len(theirs) == len(mine)
            and all(map(_scores_alike, theirs, mine))
        )
    if theirs == mine:
        return True
    try:
        return type(theirs) is type(mine) is bytes and float(theirs) == float(mine)
    except ValueError:
        return False
