"""A wire between peers and their server, which can be hurt in every way we know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Self

from tests.stores.redis.wire import parse

__all__ = ["Cut", "Pipe", "Wire", "answers"]

Direction = Literal["up", "down"]


@dataclass(eq=False)
class Cut:
    """A connection that is to be cut within one exchange.

    The exchange begins with the first packet in which ``mark`` stands; bytes
    are counted from its beginning, in each direction on its own.

    Attributes:
        mark: What tells the exchange.
        direction: Whose bytes are counted: the peer's or the server's.
        offset: So many are let through, and not one more; None: just count.
        late: The peer sees the connection end, the server does not; what the
            peer has sent beyond the offset arrives with :meth:`Wire.deliver`.
        sizes: Bytes that were seen so far, by direction.
        sent: The peer's bytes themselves.
        received: The server's.
        made: Whether it was cut.
    """

    mark: bytes
    direction: Direction = "up"
    offset: int | None = None
    late: bool = False
    made: bool = False
    sent: bytes = b""
    received: bytes = b""
    rest: bytes = b""
    pipe: Pipe | None = None


@dataclass(eq=False)
class Pipe:
    """One connection through the wire."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    subscribed: bool = False
    dead: bool = False
    held: bool = False
    heard: bytes = b""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def abort(self) -> None:
        """Cut it, in both directions."""
        self.near.transport.abort()
        self.far.transport.abort()


class Wire:
    """Stands between peers and a server; does no harm until it is told to.

    Attributes:
        delay: Seconds by which every piece is late, in each direction.
        refusing: New connections are refused.
        silent: Nothing arrives any more, new connections are taken, and nobody
            is told; what is sent meanwhile is lost.
        cut: The next exchange to be cut, or None.
        tamper: Given each whole answer on a subscription, with its pipe, and
            free to write there what it likes; nothing else is passed on.
        answer: What each command is answered, without asking the server.
        answered: Commands that were.
        connections: How many were made.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.pipes: list[Pipe] = []
        self.delay = 0.0
        self.refusing = False
        self.silent = False
        self.cut: Cut | None = None
        self.tamper: Callable[[Pipe, bytes], None] | None = None
        self.answer: bytes | None = None
        self.answered = 0
        self.connections = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"redis://127.0.0.1:{port}/0"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        self.break_all()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)
        await self._server.wait_closed()

    # -- harm ----------------------------------------------------------------------

    def break_all(self, *, subscribed: bool | None = None) -> int:
        """Cut what is open: all, or only (none of) the subscriptions."""
        pipes = [p for p in self.pipes if subscribed in (None, p.subscribed)]
        for pipe in pipes:
            pipe.abort()
        return len(pipes)

    def swallow(self, *, subscribed: bool | None = None) -> int:
        """Make what is open half-open: nothing arrives on it, nobody is told."""
        pipes = [p for p in self.pipes if subscribed in (None, p.subscribed)]
        for pipe in pipes:
            pipe.dead = True
        return len(pipes)

    async def deliver(self) -> bytes:
        """Let the rest of a late cut arrive; return all that the server says to it."""
        cut = self.cut
        assert cut is not None
        pipe = cut.pipe
        assert pipe is not None
        assert cut.late
        pipe.far.write(cut.rest)
        with suppress(ConnectionError):
            pipe.far.write_eof()
        await asyncio.wait_for(pipe.ended.wait(), 10)
        return pipe.heard

    # -- carrying ------------------------------------------------------------------

    async def _serve(
        self, near: asyncio.StreamReader, near_end: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            if self.refusing:
                near_end.transport.abort()
                return
            try:
                far, far_end = await asyncio.open_connection(*self._address)
            except OSError:
                near_end.transport.abort()
                return
            pipe = Pipe(near_end, far_end)
            self.pipes.append(pipe)
            up = asyncio.ensure_future(self._up(pipe, near))
            down = asyncio.ensure_future(self._down(pipe, far))
            try:
                await asyncio.gather(up, down, return_exceptions=True)
            finally:
                up.cancel()
                down.cancel()
                pipe.abort()
                pipe.ended.set()
                self.pipes.remove(pipe)
        finally:
            self._tasks.discard(task)

    async def _up(self, pipe: Pipe, near: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while data := await near.read(1 << 20):
                if b"SUBSCRIBE" in data:
                    pipe.subscribed = True
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.silent or pipe.dead:
                    pipe.dead = True
                    continue
                if self.answer is not None:
                    number = sum(1 for _ in parse(data))
                    self.answered += number
                    pipe.near.write(self.answer * number)
                    continue
                data = self._cut(pipe, "up", data)
                if not pipe.far.is_closing():
                    pipe.far.write(data)
                    await pipe.far.drain()
                self._snip(pipe)
        if not pipe.held:
            pipe.far.close()

    async def _down(self, pipe: Pipe, far: asyncio.StreamReader) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            if self.tamper is None:
                while data := await far.read(1 << 20):
                    await self._back(pipe, data)
            else:
                while True:
                    data = await answers(far)
                    if pipe.subscribed and self.tamper is not None:
                        self.tamper(pipe, data)
                    else:
                        await self._back(pipe, data)
        if not pipe.dead:
            pipe.near.close()

    async def _back(self, pipe: Pipe, data: bytes) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        if pipe.held:
            pipe.heard += data
            return
        if self.silent or pipe.dead:
            pipe.dead = True
            return
        data = self._cut(pipe, "down", data)
        if not pipe.near.is_closing():
            pipe.near.write(data)
            await pipe.near.drain()
        self._snip(pipe)

    # -- cutting -------------------------------------------------------------------

    def _cut(self, pipe: Pipe, direction: Direction, data: bytes) -> bytes:
        """Return what of a piece is let through."""
        cut = self.cut
        if cut is None or cut.made:
            return data
        if cut.pipe is None and direction == "up" and cut.mark in data:
            cut.pipe = pipe
        if cut.pipe is not pipe:
            return data
        seen = cut.sent if direction == "up" else cut.received
        if cut.direction == direction and cut.offset is not None:
            room = cut.offset - len(seen)
            if len(data) > room:
                cut.made = True
                data, cut.rest = data[:room], data[room:]
        if direction == "up":
            cut.sent += data
        else:
            cut.received += data
        return data

    def _snip(self, pipe: Pipe) -> None:
        cut = self.cut
        if cut is None or not cut.made or cut.pipe is not pipe:
            return
        if cut.late and cut.direction == "up":
            if not pipe.held:
                pipe.held = True
                pipe.near.transport.abort()
        elif cut.direction == "up":
            # What was let through arrives; then the server sees the end, too.
            pipe.near.transport.abort()
            pipe.far.close()
        else:
            pipe.near.close()
            pipe.far.transport.abort()


async def answers(source: asyncio.StreamReader) -> bytes:
    """Read one RESP2 answer, with all that is in it."""
    parts: list[bytes] = []
    left = 1
    while left:
        line = await source.readuntil(b"\r\n")
        parts.append(line)
        left -= 1
        if line[:1] == b"$" and line[1:2] != b"-":
            parts.append(await source.readexactly(int(line[1:-2]) + 2))
        elif line[:1] == b"*" and line[1:2] != b"-":
            left += int(line[1:-2])
    return b"".join(parts)
