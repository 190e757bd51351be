"""Lanes to whoever is in charge of a key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

from aiosched.stores.redis.cluster import Cluster, slot_of
from aiosched.stores.redis.connection import Lane, Lanes, Wiring
from aiosched.stores.redis.topology import Node

__all__ = ["Pools"]


class Pools:
    """The lanes of one use, to one server or to each node of a cluster."""

    def __init__(
        self, wiring: Wiring, number: int, home: str, *, strict: bool = False
    ) -> None:
        """Have lanes, none of them connected yet.

        Args:
            wiring: The session's.
            number: Of lanes for each server.
            home: The key that is meant where none is given.
            strict: Turn the redirections of a cluster into errors.
        """
        self._wiring = wiring
        self._number = number
        self._home = home
        self._strict = strict
        self._closed = False
        self._nodes: dict[Node, Lanes] = {}
        self._alone: Lanes | None = None
        if not wiring.topology.clustered:
            self._alone = Lanes(wiring, number)

    def take(self, key: str | bytes = "") -> AbstractAsyncContextManager[Lane]:
        """Lend a connected lane to the server of a key for the length of a block.

        Args:
            key: Any key of the shard; empty: of the namespace as a whole.

        Raises:
            LostError: The server cannot be reached.
            StoreError: The session is closed.
        """
        if self._alone is not None:
            return self._alone.take()
        return self._take(key or self._home)

    @asynccontextmanager
    async def _take(self, key: str | bytes) -> AsyncIterator[Lane]:
        topology = cast("Cluster", self._wiring.topology)
        node = await topology.node(self._wiring, slot_of(key))
        async with self.to(node) as lane:
            yield lane

    def to(self, node: Node) -> AbstractAsyncContextManager[Lane]:
        """Lend a connected lane to a node.

        Raises:
            LostError: The node cannot be reached.
            StoreError: The session is closed.
        """
        lanes = self._nodes.get(node)
        if lanes is None:
            lanes = Lanes(self._wiring, self._number, node, strict=self._strict)
            if self._closed:
                lanes.refuse()
            self._nodes[node] = lanes
        return lanes.take()

    async def close(self) -> None:
        """Close all connections, after exchanges that nobody may cut short."""
        self._closed = True
        every = list(self._nodes.values())
        for lanes in every if self._alone is None else [self._alone]:
            await lanes.close()
