"""What the tests of the Redis store put between it and the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as DriverError

from aiosched.records import Record
from aiosched.stores.redis.keys import Keys
from aiosched.stores.redis.store import RedisJobStore, RedisSession
from aiosched.testing.contract_decisions import ids_in
from tests import servers

Words = list[bytes]
Writer = asyncio.StreamWriter

Records = Mapping[str, Record | None]
KEYS = Keys("t", 4)
IDS = ids_in(1, 3)


def command(url: str, *words: str) -> Any:
    """Send one command of the test's own."""
    parts = urlsplit(url)
    return servers.command((parts.hostname or "", parts.port or 0), *words)


class Said(list[tuple[str, str]]):
    """What was reported."""

    def __call__(self, key: str, problem: str) -> None:
        self.append((key, problem))

    @property
    def keys(self) -> set[str]:
        return {key for key, _ in self}


def parse(packet: bytes) -> Iterator[Words]:
    """Yield the commands of a packet."""
    place = 0

    def line() -> bytes:
        nonlocal place
        end = packet.index(b"\r\n", place)
        found, place = packet[place:end], end + 2
        return found

    while place < len(packet):
        words: Words = []
        for _ in range(int(line()[1:])):
            size = int(line()[1:])
            words.append(packet[place : place + size])
            place += size + 2
        yield words


class Spy:
    """Makes connections that write down what is sent."""

    def __init__(self) -> None:
        self.packets: list[list[Words]] = []

    def __call__(self, **options: Any) -> Connection:
        spy = self

        class SpiedConnection(Connection):
            async def send_packed_command(
                self, command: Any, *rest: Any, **options: Any
            ) -> None:
                raw = command if isinstance(command, bytes) else b"".join(command)
                spy.packets.append(list(parse(raw)))
                await super().send_packed_command(command, *rest, **options)

        return SpiedConnection(**options)

    def transactions(self) -> list[list[Words]]:
        """Return what stood between each MULTI and its EXEC."""
        return [p[:-1] for p in self.packets if p[-1] == [b"EXEC"]]

    def names(self) -> list[str]:
        """Return the names of all commands, in order."""
        return [words[0].decode() for packet in self.packets for words in packet]


class Cut:
    """Makes connections of which some lose the reply to an EXEC, or the EXEC."""

    def __init__(self, then: Callable[[], Awaitable[None]]) -> None:
        self.plan: list[str] = []
        self.then = then

    def __call__(self, **options: Any) -> Connection:
        cut = self

        class CutConnection(Connection):
            async def send_packed_command(
                self, command: Any, *rest: Any, **options: Any
            ) -> None:
                step = "pass"
                packet = command if isinstance(command, bytes) else b"".join(command)
                if b"\r\nEXEC\r\n" in packet and cut.plan:
                    step = cut.plan.pop(0)
                if step == "pass":
                    await super().send_packed_command(command, *rest, **options)
                    return
                if step == "after":
                    await super().send_packed_command(command, *rest, **options)
                    while not isinstance(await self.read_response(), list):
                        pass
                await cut.then()
                raise DriverError(f"cut {step} EXEC")

        return CutConnection(**options)


class Proxy:
    """Stands between a store and its server, and cuts at EXEC.

    Attributes:
        plan: What is done with the next packets that hold an EXEC, in order:
            ``before`` (cut, it never arrives), ``after`` (it is executed, the
            reply is lost) or ``late`` (cut; it arrives when :meth:`deliver` is
            called, and must be refused then), ``pass``.
        execs: Packets with EXEC so far.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 6379
        self.plan: list[str] = []
        self.execs = 0
        self._held: list[tuple[bytes, _Pipe]] = []
        self._pipes: list[_Pipe] = []
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"redis://127.0.0.1:{port}/0"

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        for pipe in self._pipes:
            pipe.near.transport.abort()
            pipe.far.transport.abort()
        for pipe in self._pipes:
            await pipe.ended.wait()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        far_reader, far = await asyncio.open_connection(self._host, self._port)
        pipe = _Pipe(writer, far)
        self._pipes.append(pipe)
        back = asyncio.create_task(pipe.answers(far_reader))
        try:
            while data := await reader.read(1 << 20):
                step = "pass"
                if b"\r\nEXEC\r\n" in data:
                    self.execs += 1
                    step = self.plan.pop(0) if self.plan else "pass"
                if step == "late":
                    pipe.held = True
                    self._held.append((data, pipe))
                if step in {"before", "late"}:
                    break
                pipe.muted = step == "after"
                far.write(data)
        except ConnectionError:
            pass
        writer.close()
        if not pipe.held:
            far.close()
        await back
        pipe.ended.set()

    async def deliver(self) -> None:
        """Let what was held back reach the server at last; await the answers."""
        for data, pipe in self._held:
            pipe.far.write(data)
            await asyncio.wait_for(pipe.refused.wait(), 5)
            pipe.far.close()
        self._held.clear()


class _Pipe:
    """One connection through the proxy."""

    def __init__(self, near: Writer, far: Writer) -> None:
        self.near = near
        self.far = far
        self.held = False
        self.muted = False
        self.ended = asyncio.Event()
        self.refused = asyncio.Event()

    async def answers(self, reader: asyncio.StreamReader) -> None:
        """Carry what the server says, unless it is to be lost."""
        try:
            while data := await reader.read(1 << 20):
                if self.held:
                    if data.endswith((b"*-1\r\n", b"$-1\r\n")):
                        self.refused.set()
                elif self.muted:
                    break
                else:
                    self.near.write(data)
        except ConnectionError:
            pass
        self.near.close()


@asynccontextmanager
async def opened(
    url: str,
    *,
    shards: int = 4,
    report: Callable[[str, str], None] | None = None,
    namespace: str = "t",
    **options: Any,
) -> AsyncIterator[RedisSession]:
    """Open a session, and close it."""
    store = RedisJobStore(url, **options)
    session = await store.open(namespace, {"shards": shards}, report=report)
    try:
        yield session
    finally:
        await session.close()
