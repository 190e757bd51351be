"""Lanes to whoever is in charge of a key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

from aiosched.clock import Clock
from aiosched.errors import StoreUnavailableError
from aiosched.stores.redis.cluster import Cluster, slot_of
from aiosched.stores.redis.connection import (
    Lane,
    Lanes,
    LostError,
    MisplacedError,
    Rank,
    Wiring,
)
from aiosched.stores.redis.topology import Node

__all__ = ["QUICK", "Pools"]

QUICK = 1.0
"""Seconds after which a lost exchange means a server that hangs."""
_SPELL = 0.25
"""Seconds for which a node that refuses connections is left alone."""


class Pools:
    """The lanes of one use, to one server or to each node of a cluster."""

    def __init__(
        self,
        wiring: Wiring,
        number: int,
        home: str,
        clock: Clock,
        *,
        strict: bool = False,
    ) -> None:
        """Have lanes, none of them connected yet.

        Args:
            wiring: The session's.
            number: Of lanes for each server.
            home: The key that is meant where none is given.
            clock: Tells for how long a node has been silent.
            strict: Turn the redirections of a cluster into errors.
        """
        self._wiring = wiring
        self._number = number
        self._home = home
        self._clock = clock
        self._strict = strict
        self._closed = False
        self._nodes: dict[Node, Lanes] = {}
        self._alone: Lanes | None = None
        if not wiring.topology.clustered:
            self._alone = Lanes(wiring, number)

    def take(
        self, key: str | bytes = "", rank: Rank = Rank.USUAL
    ) -> AbstractAsyncContextManager[Lane]:
        """Lend a connected lane to the server of a key for the length of a block.

        Args:
            key: Any key of the shard; empty: of the namespace as a whole.
            rank: Before whom to be served, if there is none to spare.

        Raises:
            LostError: The server cannot be reached.
            StoreError: The session is closed.
        """
        if self._alone is not None:
            return self._alone.take(rank)
        return self._take(key or self._home, rank)

    @asynccontextmanager
    async def _take(self, key: str | bytes, rank: Rank) -> AsyncIterator[Lane]:
        topology = cast("Cluster", self._wiring.topology)
        node = await topology.node(self._wiring, slot_of(key))
        async with self.to(node, rank=rank) as lane:
            yield lane

    @asynccontextmanager
    async def to(
        self, node: Node, *, limit: float | None = None, rank: Rank = Rank.USUAL
    ) -> AsyncIterator[Lane]:
        """Lend a connected lane to a node.

        A node that hangs is waited for by those who are waiting already: for as
        long again, whoever else wants it is told at once, so that what other
        nodes have goes on.  One that refuses connections is left alone likewise,
        for a moment.

        Args:
            node: Which.
            limit: Seconds that the block may take.
            rank: Before whom to be served, if there is none to spare.

        Raises:
            LostError: The node cannot be reached.
            StoreUnavailableError: Somebody else has just found that out.
            StoreError: The session is closed.
        """
        topology = cast("Cluster", self._wiring.topology)
        begun, patience = self._clock.monotonic(), self._wiring.exchange_timeout
        until, text = topology.away.get(node, (begun, ""))
        if begun < until:
            raise StoreUnavailableError(text)
        connected = False
        try:
            lanes = self._lanes(node)
            async with asyncio.timeout(limit), lanes.take(rank) as lane:
                connected = True
                yield lane
        except TimeoutError as error:
            text = f"{self._wiring.place}: {node} did not answer in time"
            topology.away[node] = self._clock.monotonic() + patience, text
            raise LostError(text, node) from error
        except MisplacedError:
            raise  # it did answer
        except LostError as error:
            if error.node != node:
                raise  # the block has asked somebody else, too
            now = self._clock.monotonic()
            if now - begun > QUICK or not connected:
                spell = patience if now - begun > QUICK else _SPELL
                topology.away[node] = now + spell, str(error)
            raise

    def _lanes(self, node: Node) -> Lanes:
        lanes = self._nodes.get(node)
        if lanes is None:
            lanes = Lanes(self._wiring, self._number, node, strict=self._strict)
            if self._closed:
                lanes.refuse()
            self._nodes[node] = lanes
        return lanes

    async def close(self) -> None:
        """Close all connections, after exchanges that nobody may cut short."""
        self._closed = True
        every = list(self._nodes.values())
        for lanes in every if self._alone is None else [self._alone]:
            await lanes.close()
