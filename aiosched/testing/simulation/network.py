"""Connections of redis-py to the modelled server, through a network of our own.

Only the opening of the socket is replaced: handshake, packing, parsing and
everything else is the driver's and the Redis store's own.  Each direction of a
connection is first in, first out, and takes a drawn time.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol

from redis.asyncio.connection import Connection

from aiosched.testing.loop import VirtualLoop
from aiosched.testing.simulation.conditions import Conditions
from aiosched.testing.simulation.incidents import Point

__all__ = ["INTENT", "Line", "Network", "Peer", "SimulatedConnection"]

INTENT: ContextVar[tuple[Point, ...]] = ContextVar("aiosched_intent", default=())
"""Points before and after the transaction that the running code commits."""

_EXEC = b"$4\r\nEXEC\r\n"
_RESET = "the simulated server reset the connection"


class Peer(Protocol):
    """The server's side of one connection: bytes in, bytes out."""

    @property
    def pushed(self) -> Callable[[bytes], None] | None:
        """Where messages go that nobody has asked for."""
        ...

    @pushed.setter
    def pushed(self, value: Callable[[bytes], None] | None) -> None: ...

    def feed(self, data: bytes) -> bytes:
        """Take bytes and return the replies that are complete."""
        ...

    def close(self) -> None:
        """Note that the connection has ended."""
        ...


class Network(Protocol):
    """What connections need to know of the world."""

    loop: VirtualLoop
    conditions: Conditions
    counts: Counter[str]

    def passes(self, node: str, point: Point) -> bool:
        """Count that a node comes by a point; return whether to cut it off there."""
        ...

    def signal_fate(self, node: str) -> tuple[int, float]:
        """Return how often the next signal arrives, and how late."""
        ...

    def dead(self, node: str) -> bool:
        """Return whether a node's process is dead at present."""
        ...

    def unknown(self, node: str, kind: str | None = None) -> None:
        """Count a commit whose answer is lost."""
        ...

    def trace(self, kind: str, *words: object) -> None:
        """Add a line to the trace."""
        ...


class Line:
    """One connection: a node at its one end, the server at the other."""

    def __init__(
        self,
        network: Network,
        node: str,
        accept: Callable[[], Peer],
        ended: Callable[[Line], None],
    ) -> None:
        """Connect; the running code is the node's.

        Args:
            network: The world's.
            node: Who connects.
            accept: Makes the server's side.
            ended: Is told when the connection is no more.
        """
        self.network = network
        self.node = node
        self.peer: Peer = accept()
        self.peer.pushed = self._push
        self.open: bool = True
        self.context: Context = copy_context()
        self._ended = ended
        self._upward = 0.0
        self._downward = 0.0
        loop = network.loop
        self.reader: asyncio.StreamReader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(self.reader, loop=loop)
        self.transport: _Transport = _Transport(self, protocol)
        protocol.connection_made(self.transport)
        self.writer: _Writer = _Writer(self.transport, protocol, self.reader, loop)

    # -- from the node ------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Take bytes that the node writes."""
        if not self.open:
            return
        after: tuple[Point, ...] = ()
        if data.endswith(_EXEC):
            before, after = _points(INTENT.get())
            cut = [self.network.passes(self.node, point) for point in before]
            if self.network.dead(self.node):
                return
            if any(cut):
                self.network.trace("cut before", self.node)
                self.network.counts["cut before"] += 1
                self.cut()
                return
        self._up(self._arrive, data, after)

    def _up(self, act: Callable[..., None], *args: Any) -> None:
        network = self.network
        ways, loop = network.conditions, network.loop
        due = max(loop.time(), self._upward, ways.silent_until(self.node))
        self._upward = due + ways.latency(self.node)
        # A server's turn belongs to no node: it goes on when the sender is dead.
        loop.call_at(self._upward, act, *args, context=Context())

    def _arrive(self, data: bytes, after: tuple[Point, ...]) -> None:
        if not self.open:
            return
        network = self.network
        reply = self.peer.feed(data)
        network.trace("packet", self.node, zlib.crc32(data), zlib.crc32(reply))
        cut = [network.passes(self.node, point) for point in after]
        if any(cut):
            network.unknown(self.node, "cut")
            self.cut()
        elif reply:
            self._down(reply)

    def hang_up(self) -> None:
        """End the connection from the node's side, behind what was sent."""
        if self.open:
            self._up(self._gone)

    def _gone(self) -> None:
        if self.open:
            self.open = False
            self.peer.close()
            self._ended(self)

    # -- from the server ------------------------------------------------------------

    def _push(self, data: bytes) -> None:
        copies, late = self.network.signal_fate(self.node)
        for _ in range(copies):
            self._down(data, late)

    def _down(self, data: bytes, late: float = 0.0) -> None:
        self._later(late, self.transport.receive, data)

    def _later(self, late: float, act: Callable[..., None], *args: Any) -> None:
        network = self.network
        ways, loop = network.conditions, network.loop
        due = max(loop.time(), self._downward, ways.silent_until(self.node))
        self._downward = due + late + ways.latency(self.node)
        loop.call_at(self._downward, act, *args, context=self.context)

    def cut(self) -> None:
        """End the connection at once; what is on its way is lost."""
        if self.open:
            self._gone()
            self.transport.deaf = True
            self._later(0.0, self.transport.reset)


def _points(intent: tuple[Point, ...]) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    if not intent:
        return ("before_write",), ("after_write",)
    before, after = intent
    return ("before_write", before), ("after_write", after)


class _Writer(asyncio.StreamWriter):
    """A writer that nobody need close: the dead leave theirs behind."""

    def __del__(self) -> None:
        """Say nothing."""


class _Transport(asyncio.Transport):
    """The node's end of a line."""

    def __init__(self, line: Line, protocol: asyncio.StreamReaderProtocol) -> None:
        super().__init__()
        self._line = line
        self._protocol = protocol
        self._closing = False
        self.deaf = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self._line.send(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def receive(self, data: bytes) -> None:
        """Take what has arrived."""
        if not self._closing and not self.deaf:
            self._protocol.data_received(data)

    def reset(self) -> None:
        """Learn that the other end is gone."""
        if not self._closing:
            self._closing = True
            self._protocol.connection_lost(ConnectionResetError(_RESET))

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._line.hang_up()
            self._line.network.loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        del name  # there is no socket
        return default

    def get_write_buffer_size(self) -> int:
        return 0


def _driver() -> dict[str, Any]:
    """Return what the driver says of itself, found out once.

    By itself it looks its version up on the disk for each connection, which
    takes more time than all that is done on most connections of a simulation.
    """
    try:
        from redis.driver_info import DriverInfo
    except ImportError:
        return {}  # earlier ones look it up once
    return {"driver_info": DriverInfo()}


_DRIVER = _driver()


class SimulatedConnection(Connection):
    """A connection of redis-py whose socket is a line of the simulation."""

    def __init__(self, *, dial: Callable[[], Any], **options: Any) -> None:
        """Take the driver's options, and what opens a line."""
        super().__init__(**_DRIVER, **options)
        self._dial = dial

    def __del__(self, *_: Any) -> None:
        """Say nothing: what a crashed node leaves behind is not closed."""

    async def _connect(self) -> None:
        line: Line = await self._dial()
        self._reader, self._writer = line.reader, line.writer
