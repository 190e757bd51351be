"""Which server is in charge of a key, and how it is found.

The three kinds of deployment differ in this and in nothing else: one server,
a master that others name, and many masters with a part of the keys each.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from aiosched.stores.redis.connection import Wiring

__all__ = ["Node", "Topology"]


class Node(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as it stands in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Topology:
    """One server for all keys, at the address of the URL.

    Attributes:
        clustered: Keys are spread over nodes; see
            :class:`aiosched.stores.redis.cluster.Cluster`.
        sharded: Signals go over sharded channels.
    """

    clustered: ClassVar[bool] = False
    sharded: bool = False

    def __init__(self) -> None:
        """Know of no trouble."""
        self._turns: Counter[Node | None] = Counter()

    def turn(self, node: Node | None) -> int:
        """Return the turn of a server's connections.

        One that was made in a turn before is not to be used again: the server
        may have closed it, or may not be in charge any more.
        """
        return self._turns[node]

    def _renew(self, node: Node | None = None) -> None:
        self._turns[node] += 1

    async def where(self, wiring: Wiring, node: Node | None) -> dict[str, Any]:
        """Return what of the connection's options differs from the URL's.

        Asked before each connection is made.

        Args:
            wiring: The session's.
            node: The node that is to be reached; None: the one in charge.

        Raises:
            LostError: Nobody can say.
            RedisError: And whatever else stands in ``FAILURES``.
        """
        del wiring
        return {} if node is None else {"host": node.host, "port": node.port}

    async def approve(self, connection: AbstractConnection) -> None:
        """Look at a connection that was just made, before it is used.

        Raises:
            RedisError: This server is not to be used; the connection is closed.
        """

    def failed(self, node: Node | None) -> None:
        """Note that a server was not reached, or hung up."""

    def hung_up(self, node: Node | None, turn: int) -> None:
        """Note that a server has closed a connection, most likely all of them.

        Otherwise each of those that nobody used meanwhile would fail somebody.

        Args:
            node: Which.
            turn: When the connection was made.
        """
        if turn == self.turn(node):
            self._renew(node)

    def demoted(self) -> None:
        """Note that a server takes no writes: somebody else is in charge now."""
        self._renew()

    def forgotten(self) -> None:
        """Note that what was confirmed is missing: it may be with another server."""

    def redirected(self, error: Exception, node: Node | None) -> None:
        """Note that a node of a cluster has sent somebody elsewhere."""
