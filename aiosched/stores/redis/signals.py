"""Signals over connections of their own: one, or one to each node of a cluster."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from aiosched.abc import Signal, SignalStream
from aiosched.errors import StoreError, StoreUnavailableError
from aiosched.rows import unescape
from aiosched.stores.redis.cluster import Cluster, slot_of
from aiosched.stores.redis.connection import LostError
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.subscriber import Channels, Subscriber
from aiosched.stores.redis.topology import Node

__all__ = ["RedisSignalStream", "parse_changed", "parse_done"]

_MAX_SIGNALS = 1_000
_MOST = 2**63
"""More than any instant, and still a float."""
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
        when, number = int(at) if at else None, int(seq)
        if max(abs(when or 0), abs(number)) > _MOST:
            raise ValueError("no instant")
        entries.append((unescape(job_id), unescape(queue), when, number))
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
    """One subscription, however many servers it takes."""

    def __init__(self, link: Link, closed: Callable[[RedisSignalStream], None]) -> None:
        """Subscribe to nothing yet.

        Args:
            link: The session's.
            closed: Is told when this stream has been closed.
        """
        self._link = link
        self._on_closed = closed
        self._closed = False
        self._channels: Channels = {}
        self._subscribers: dict[Node | None, Subscriber] = {}
        self._spreading = asyncio.Lock()
        self._signals: deque[Signal] = deque()
        self._heard = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []

    # -- the port -----------------------------------------------------------------

    async def watch(self, changed: frozenset[int], done: frozenset[int]) -> None:
        """Listen to exactly these shards; returns once that is confirmed.

        Of a cluster the node that has what belongs to no shard must confirm.
        Another one that is away is not waited for: once it has confirmed,
        ``resync`` is heard.

        Raises:
            StoreUnavailableError: Not confirmed in time; the shards are
                remembered, and calling again is safe.
            StoreError: The stream is closed.
        """
        if self._closed:
            raise StoreError("this subscription is closed")
        keys = self._link.keys
        channels = self._least()
        for shard in changed:
            channels[keys.changed(shard).encode()] = (_CHANGED, shard)
        for shard in done:
            channels[keys.done(shard).encode()] = (_DONE, shard)
        self._channels = channels
        if not self._link.wiring.topology.clustered:
            self._start()
        try:
            async with asyncio.timeout(self._link.wiring.exchange_timeout):
                await self._spread()
                while not self._all_settled():
                    await self._next_confirmation()
        except LostError as error:
            raise StoreUnavailableError(str(error)) from error.__cause__
        except TimeoutError:
            for one in self._subscribers.values():
                if not one.settled():
                    one.missed()
                    one.reset()
            if not self._all_settled():
                place = self._link.place
                text = f"{place} did not confirm in time"
                raise StoreUnavailableError(text) from None

    def _least(self) -> dict[bytes, tuple[str, int]]:
        """Return the channel that is always listened to."""
        return {self._link.keys.canary.encode(): (_CANARY, -1)}

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
            if not self._closed:
                for one in tuple(self._subscribers.values()):
                    if one.task is not None and one.task.done():
                        one.task.result()  # it can only have failed

    def reset(self) -> None:
        """Drop the connections, for they seem to be dead; new ones are made."""
        for one in self._subscribers.values():
            one.reset()

    async def aclose(self) -> None:
        """End the subscription; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._heard.set()
        self._fail(StoreError("this subscription was closed"))
        self._on_closed(self)
        tasks = []
        for one in self._subscribers.values():
            one.retire()
            if one.task is not None:
                tasks.append(one.task)
        if tasks:
            await asyncio.wait(tasks)

    # -- who listens to what ------------------------------------------------------

    def _start(self) -> None:
        """Have one connection, so that a server that is away is noticed."""
        if not self._subscribers:
            self._channels = self._channels or self._least()
            first = self._subscriber(None)
            first.channels = self._channels
            first.start()

    def _subscriber(self, node: Node | None) -> Subscriber:
        one = self._subscribers.get(node)
        if one is None:
            one = self._subscribers[node] = Subscriber(self._link, self, node)
        return one

    async def _spread(self) -> None:
        """Give each channel to the connection of the node that has it.

        Raises:
            LostError: Nobody can say which node that is.
        """
        topology = self._link.wiring.topology
        if not isinstance(topology, Cluster):
            one = self._subscriber(None)
            one.channels = self._channels
            await one.adjust()
            return
        async with self._spreading:
            await self._spread_over(topology)

    async def _spread_over(self, topology: Cluster) -> None:
        homes: dict[Node, dict[bytes, tuple[str, int]]] = {}
        for channel, known in tuple(self._channels.items()):
            slot = slot_of(channel) if topology.sharded else self._link.home
            owner = await topology.node(self._link.wiring, slot)
            homes.setdefault(owner, {})[channel] = known
        before = {c: n for n, one in self._subscribers.items() for c in one.channels}
        for node, one in tuple(self._subscribers.items()):
            if node not in homes:
                del self._subscribers[node]
                one.channels = {}
                one.retire()
        for home, channels in homes.items():
            one = self._subscriber(home)
            # What was said while a channel was on its way is lost.
            if any(before.get(c, home) != home for c in channels):
                one.owes_resync = True
            one.channels = channels
            one.start()
            await one.adjust()

    # -- what the connections tell ------------------------------------------------

    async def moved(self, subscriber: Subscriber) -> bool:
        """Find out anew who is in charge; return whether this one is needed."""
        if self._link.wiring.topology.clustered:
            with suppress(LostError):
                await self._spread()
        return subscriber in self._subscribers.values()

    def hear(self, known: tuple[str, int], data: bytes) -> None:
        """Take a message of a channel."""
        kind, shard = known
        if kind == _CHANGED:
            self._put(parse_changed(shard, data))
        elif kind == _DONE:
            self._put(parse_done(shard, data))
        else:
            self._put(Signal(_CANARY, ids=(data.decode(),)))

    def resync(self) -> None:
        """Note that messages may have been lost."""
        self._put(_RESYNC)

    def _put(self, signal: Signal) -> None:
        if len(self._signals) >= _MAX_SIGNALS:
            # Nobody keeps up: reading everything again is less than all this.
            self._signals.clear()
            self._signals.append(_RESYNC)
        self._signals.append(signal)
        self._heard.set()

    def ended(self) -> None:
        """Note that a task has come to its end."""
        self._heard.set()

    def _all_settled(self) -> bool:
        home = self._link.keys.canary.encode()
        return all(
            one.settled() or (one.away and home not in one.channels)
            for one in self._subscribers.values()
        )

    def settled(self) -> None:
        """Note that a server has confirmed all that it was asked for."""
        if self._all_settled():
            for waiter in self._waiting:
                if not waiter.done():
                    waiter.set_result(None)

    async def _next_confirmation(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            self._waiting.remove(waiter)

    def failed(self, subscriber: Subscriber, error: StoreError) -> None:
        """Note that a connection broke; a new one is on its way."""
        if self._link.keys.canary.encode() in subscriber.channels:
            self._fail(error)
        else:
            subscriber.missed()
            self.settled()

    def _fail(self, error: StoreError) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(error)
