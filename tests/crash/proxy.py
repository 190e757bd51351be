"""A wire on which nothing that is published ever arrives."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

__all__ = ["DeafProxy"]

_PUSHED = b"*3\r\n$7\r\nmessage\r\n"


class DeafProxy:
    """Stands before a server and swallows every message of its pub/sub.

    Subscriptions are confirmed, replies pass; only what others publish is lost.

    Attributes:
        swallowed: Messages that were lost so far.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._pipes: set[asyncio.Task[None]] = set()
        self.swallowed = 0

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
        for end in self._ends:
            end.transport.abort()
        await asyncio.gather(*self._pipes, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(
        self, near: asyncio.StreamReader, near_end: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        far, far_end = await asyncio.open_connection(*self._address)
        self._ends |= {near_end, far_end}
        try:
            await asyncio.gather(
                self._carry(near, far_end), self._filter(far, near_end)
            )
        finally:
            self._ends -= {near_end, far_end}
            self._pipes.discard(task)

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while data := await source.read(1 << 16):
                sink.write(data)
        sink.close()

    async def _filter(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        """Carry whole answers, so that a message can be told from its bytes."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                frame = await _answer(source)
                if frame.startswith(_PUSHED):
                    self.swallowed += 1
                else:
                    sink.write(frame)
        sink.close()


async def _answer(source: asyncio.StreamReader) -> bytes:
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
