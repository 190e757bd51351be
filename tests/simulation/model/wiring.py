"""The shortest way from redis-py to the model: a transport in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import Connection

from aiosched.testing import redis_model

__all__ = ["factory"]

# Two commits that answer each other never fall into one millisecond.
_LATENCY = 0.001


class _Transport(asyncio.Transport):
    """Feeds the model at once, and hands out its replies a moment later."""

    def __init__(
        self, server: redis_model.Server, protocol: asyncio.StreamReaderProtocol
    ) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._far = server.connect()
        self._far.pushed = self._later
        self._far.ended = self.close
        self._open = True

    def write(self, data: Any) -> None:
        if self._open:
            replies = self._far.feed(bytes(data))
            if replies:
                self._later(replies)

    def _later(self, data: bytes) -> None:
        self._loop.call_later(_LATENCY, self._receive, data)

    def _receive(self, data: bytes) -> None:
        if self._open:
            self._protocol.data_received(data)

    def is_closing(self) -> bool:
        return not self._open

    def close(self) -> None:
        if self._open:
            self._open = False
            self._far.close()
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_reading(self) -> bool:
        return True

    def pause_reading(self) -> None:
        """Everything is read at once."""

    def resume_reading(self) -> None:
        """It was never paused."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        del name
        return default


def factory(server: redis_model.Server) -> Callable[..., Connection]:
    """Return what makes connections to a model, for ``connection_factory=``."""

    class ModelConnection(Connection):
        async def _connect(self) -> None:
            loop = asyncio.get_running_loop()
            reader = asyncio.StreamReader(loop=loop)
            protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
            transport = _Transport(server, protocol)
            protocol.connection_made(transport)
            self._reader = reader
            self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)

    def connection(**options: Any) -> Connection:
        options.pop("path", None)
        return ModelConnection(**options)

    return connection
