"""One connection for signals, which heals itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from redis.asyncio.connection import AbstractConnection

from aiosched.errors import StoreError, StoreUnavailableError
from aiosched.stores.redis.connection import Command, LostError, pack
from aiosched.stores.redis.failures import FAILURES, translated
from aiosched.stores.redis.link import Link
from aiosched.stores.redis.topology import Node

__all__ = ["Channels", "Listener", "Subscriber"]

_LONGEST_PAUSE = 2.0

Channels = Mapping[bytes, tuple[str, int]]
"""What each channel is for: kind of signal, shard."""


class Listener(Protocol):
    """Who is told of what a connection hears."""

    def hear(self, known: tuple[str, int], data: bytes) -> None:
        """Take a message of a channel."""

    def resync(self) -> None:
        """Note that messages may have been lost."""

    def settled(self) -> None:
        """Note that a server has confirmed all that it was asked for."""

    def failed(self, subscriber: Subscriber, error: StoreError) -> None:
        """Note that a connection broke; a new one is on its way."""

    def ended(self) -> None:
        """Note that a task has come to its end."""

    async def moved(self, subscriber: Subscriber) -> bool:
        """Find out anew who is in charge; return whether this one is needed."""
        raise NotImplementedError


class Subscriber:
    """A connection to one server and the task that reads it.

    Attributes:
        channels: What is wanted of this server.
        owes_resync: Messages may have been lost since all was confirmed.
        away: The server was not reached, or broke the connection, and has
            confirmed nothing since.
        task: Reads, and connects again; None before :meth:`start`.
    """

    def __init__(self, link: Link, listener: Listener, node: Node | None) -> None:
        """Connect to nothing yet.

        Args:
            link: The session's.
            listener: Who is told.
            node: Of a cluster; None: the server that is in charge.
        """
        self.channels: Channels = {}
        self.owes_resync: bool = False
        self.away: bool = False
        self.task: asyncio.Task[None] | None = None
        self._link = link
        self._listener = listener
        self._node = node
        self._connection: AbstractConnection | None = None
        self._asked: set[bytes] = set()
        self._unconfirmed = 0
        self._resetting = False
        self._closed = False

    def start(self) -> None:
        """Begin to connect and to read, once."""
        if self.task is None and not self._closed:
            self.task = asyncio.get_running_loop().create_task(
                self._run(), name="aiosched-redis-signals"
            )
            self.task.add_done_callback(lambda _: self._listener.ended())

    def settled(self) -> bool:
        """Say whether the server has confirmed what is wanted, and nothing else."""
        return not self._unconfirmed and self._asked == self.channels.keys()

    def reset(self) -> None:
        """Drop the connection, for it seems to be dead; a new one is made."""
        if self._connection is not None and self.task is not None:
            # Cancelling a read makes the driver close the connection.
            self._resetting = True
            self.task.cancel()

    def retire(self) -> None:
        """End, without waiting for it."""
        self._closed = True
        # The task that finds out that it is not needed ends by itself.
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()

    async def adjust(self) -> None:
        """Ask for the channels that are missing and give up the others."""
        if self._connection is None:
            return  # the next one subscribes to all
        wanted = set(self.channels)
        new, old = wanted - self._asked, self._asked - wanted
        self._asked = wanted
        # Old ones last: the server ends the mode of a connection without any.
        await self._send("SUBSCRIBE", new)
        await self._send("UNSUBSCRIBE", old)

    # -- the connection -----------------------------------------------------------

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                wiring, node = self._link.wiring, self._node
                self._connection = await (
                    wiring.connect() if node is None else wiring.connect(node)
                )
                attempt = 0
                await self.adjust()
                await self._listen(self._connection)
            except LostError as error:
                self._listener.failed(self, StoreUnavailableError(str(error)))
            except FAILURES as error:
                ours = translated(error, self._link.place)
                self._listener.failed(self, StoreUnavailableError(str(ours)))
            except asyncio.CancelledError:
                if self._closed or not self._resetting or self.task is None:
                    raise
                self.task.uncancel()
            finally:
                self._resetting = False
                await self._disconnect()
            attempt += 1
            self._link.wiring.topology.failed(self._node)
            if not await self._listener.moved(self):
                return
            await self._link.pause(attempt + 3, _LONGEST_PAUSE)

    def missed(self) -> None:
        """Note that nobody waits for this server, so that it owes a resync."""
        self.away = self.owes_resync = True

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._asked = set()
        self._unconfirmed = 0
        if connection is not None:
            self.owes_resync = True
            with suppress(*FAILURES):
                await connection.disconnect(nowait=self._closed is False)

    async def _send(self, verb: str, channels: set[bytes]) -> None:
        connection = self._connection
        if not channels or connection is None or not connection.is_connected:
            return
        self._unconfirmed += len(channels)
        ordered = sorted(channels)
        commands: list[Command] = [(verb, *ordered)]
        if self._link.wiring.topology.sharded:
            # All channels of one such command must be of the same slot.
            commands = [(f"S{verb}", channel) for channel in ordered]
        counters = self._link.counters
        counters.commands += len(commands)
        counters.round_trips += 1
        packet = pack(commands)
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
        if kind in {b"message", b"smessage"}:
            known = self.channels.get(channel)
            if known is not None:
                self._listener.hear(known, data)
            return
        if kind not in {b"subscribe", b"unsubscribe", b"ssubscribe", b"sunsubscribe"}:
            raise ValueError(f"an answer of kind {kind!r}")
        if kind == b"sunsubscribe" and channel in self._asked:
            # Nobody asked for it: the slot has gone to another node.
            raise LostError(f"{self._link.place} has moved a channel")
        self._unconfirmed -= 1
        if not self.settled():
            return
        self.away = False
        if self.owes_resync:
            self.owes_resync = False
            self._listener.resync()
        self._listener.settled()
