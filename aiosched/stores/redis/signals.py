"""Signals over a connection of their own, which heals itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection

from aiosched.abc import Signal, SignalStream
from aiosched.errors import StoreError, StoreUnavailableError
from aiosched.rows import unescape
from aiosched.stores.redis.connection import pack
from aiosched.stores.redis.failures import FAILURES, translated
from aiosched.stores.redis.link import Link

__all__ = ["RedisSignalStream", "parse_changed", "parse_done"]

_MAX_SIGNALS = 1_000
_LONGEST_PAUSE = 2.0
_RESYNC = Signal("resync")
_CHANGED, _DONE, _CANARY = "changed", "done", "canary"


def parse_changed(shard: int, data: bytes) -> Signal:
    """Read a message of a change channel.

    Raises:
        ValueError: It is none.
    """
    entries = []
    for line in data.decode().split("\n"):
        job_id, queue, at, seq = line.split("|")
        when = int(at) if at else None
        entries.append((unescape(job_id), unescape(queue), when, int(seq)))
    return Signal(_CHANGED, shard, tuple(entries))


def parse_done(shard: int, data: bytes) -> Signal:
    """Read a message of a completion channel.

    Raises:
        ValueError: It is none.
    """
    ids = tuple([unescape(line) for line in data.decode().split("\n")])
    if not all(ids):
        raise ValueError("an empty id")
    return Signal(_DONE, shard, ids=ids)


class RedisSignalStream(SignalStream):
    """One subscription; a task of its own reads it and keeps it alive."""

    def __init__(self, link: Link, closed: Callable[[RedisSignalStream], None]) -> None:
        """Subscribe to nothing yet.

        Args:
            link: The session's.
            closed: Is told when this stream has been closed.
        """
        self._link = link
        self._on_closed = closed
        self._connection: AbstractConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._channels: dict[bytes, tuple[str, int]] = {}
        self._asked: set[bytes] = set()
        self._unconfirmed = 0
        self._signals: deque[Signal] = deque()
        self._heard = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._owes_resync = False
        self._resetting = False

    # -- the port -----------------------------------------------------------------

    async def watch(self, changed: frozenset[int], done: frozenset[int]) -> None:
        """Listen to exactly these shards; returns once that is confirmed.

        Raises:
            StoreUnavailableError: Not confirmed in time; the shards are
                remembered, and calling again is safe.
            StoreError: The stream is closed.
        """
        if self._closed:
            raise StoreError("this subscription is closed")
        keys = self._link.keys
        channels = {keys.canary.encode(): (_CANARY, -1)}
        for shard in changed:
            channels[keys.changed(shard).encode()] = (_CHANGED, shard)
        for shard in done:
            channels[keys.done(shard).encode()] = (_DONE, shard)
        self._channels = channels
        self._start()
        try:
            async with asyncio.timeout(self._link.wiring.exchange_timeout):
                await self._adjust()
                while not self._settled():
                    await self._next_confirmation()
        except TimeoutError:
            self.reset()
            place = self._link.place
            raise StoreUnavailableError(f"{place} did not confirm in time") from None

    def __aiter__(self) -> AsyncIterator[Signal]:
        """Yield signals until the stream is closed."""
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Signal]:
        while not self._closed:
            self._start()
            while self._signals:
                yield self._signals.popleft()
            self._heard.clear()
            if not self._closed:
                await self._heard.wait()
            if self._task is not None and self._task.done() and not self._closed:
                self._task.result()  # it can only have failed

    def reset(self) -> None:
        """Drop the connection, for it seems to be dead; a new one is made."""
        if self._connection is not None and self._task is not None:
            # Cancelling a read makes the driver close the connection.
            self._resetting = True
            self._task.cancel()

    async def aclose(self) -> None:
        """End the subscription; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._heard.set()
        self._fail(StoreError("this subscription was closed"))
        self._on_closed(self)
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # -- the connection -----------------------------------------------------------

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name="aiosched-redis-signals"
            )
            self._task.add_done_callback(lambda _: self._heard.set())

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                self._connection = await self._link.wiring.connect()
                attempt = 0
                await self._subscribe()
                await self._listen(self._connection)
            except FAILURES as error:
                ours = translated(error, self._link.place)
                self._fail(StoreUnavailableError(str(ours)))
            except asyncio.CancelledError:
                if self._closed or not self._resetting or self._task is None:
                    raise
                self._task.uncancel()
            finally:
                self._resetting = False
                await self._disconnect()
            attempt += 1
            await self._link.pause(attempt + 3, _LONGEST_PAUSE)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._asked = set()
        self._unconfirmed = 0
        if connection is not None:
            self._owes_resync = True
            with suppress(*FAILURES):
                await connection.disconnect(nowait=self._closed is False)

    async def _subscribe(self) -> None:
        if not self._channels:
            self._channels = {self._link.keys.canary.encode(): (_CANARY, -1)}
        await self._adjust()

    def _settled(self) -> bool:
        """Say whether the server has confirmed what is wanted, and nothing else."""
        return not self._unconfirmed and self._asked == self._channels.keys()

    async def _adjust(self) -> None:
        """Ask for the channels that are missing and give up the others."""
        if self._connection is None:
            return  # the next one subscribes to all
        wanted = set(self._channels)
        new, old = wanted - self._asked, self._asked - wanted
        self._asked = wanted
        # Old ones last: the server ends the mode of a connection without any.
        await self._send("SUBSCRIBE", new)
        await self._send("UNSUBSCRIBE", old)

    async def _send(self, verb: str, channels: set[bytes]) -> None:
        connection = self._connection
        if not channels or connection is None or not connection.is_connected:
            return
        self._unconfirmed += len(channels)
        counters = self._link.counters
        counters.commands += 1
        counters.round_trips += 1
        packet = pack([(verb, *sorted(channels))])
        with suppress(*FAILURES):  # the reading task sees it, too
            await connection.send_packed_command(packet, check_health=False)

    async def _listen(self, connection: AbstractConnection) -> None:
        while True:
            message = await connection.read_response()
            try:
                self._take(message)
            except (ValueError, TypeError, LookupError) as error:
                where = self._link.keys.canary
                if isinstance(message, list) and len(message) > 1:
                    where = bytes(message[1] or b"").decode(errors="replace")
                self._link.unreadable(where, f"no signal: {error}")

    def _take(self, message: Any) -> None:
        kind, channel, data = message
        if kind == b"message":
            known = self._channels.get(channel)
            if known is not None:
                self._hear(known, data)
            return
        if kind not in {b"subscribe", b"unsubscribe"}:
            raise ValueError(f"an answer of kind {kind!r}")
        self._unconfirmed -= 1
        if not self._settled():
            return
        if self._owes_resync:
            self._owes_resync = False
            self._put(_RESYNC)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _hear(self, known: tuple[str, int], data: bytes) -> None:
        kind, shard = known
        if kind == _CHANGED:
            self._put(parse_changed(shard, data))
        elif kind == _DONE:
            self._put(parse_done(shard, data))
        else:
            self._put(Signal(_CANARY, ids=(data.decode(),)))

    def _put(self, signal: Signal) -> None:
        if len(self._signals) >= _MAX_SIGNALS:
            # Nobody keeps up: reading everything again is less than all this.
            self._signals.clear()
            self._signals.append(_RESYNC)
        self._signals.append(signal)
        self._heard.set()

    async def _next_confirmation(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            self._waiting.remove(waiter)

    def _fail(self, error: StoreError) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(error)
