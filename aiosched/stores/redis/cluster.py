"""Redis Cluster: which node has which slot, as far as this session knows.

The map is a guess that the nodes correct: each of them refuses keys that are
not its own.  A wrong guess costs a round trip and never a wrong write.
"""

from __future__ import annotations

import asyncio
from binascii import crc_hqx
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from aiosched.errors import StoreUnavailableError
from aiosched.stores.redis.connection import LostError, Wiring, pack
from aiosched.stores.redis.failures import FAILURES, translated
from aiosched.stores.redis.topology import Node, Topology

__all__ = ["REDIRECTS", "SLOTS", "Cluster", "slot_of"]

SLOTS = 16_384
REDIRECTS = (MovedError, AskError, TryAgainError, ClusterDownError)
"""Answers of a node that has not, or not yet, or no longer, what was asked for."""


def slot_of(key: str | bytes) -> int:
    """Return the slot of a key: that of its hash tag, if it has one."""
    raw = key.encode() if isinstance(key, str) else key
    first = raw.find(b"{")
    if first >= 0:
        last = raw.find(b"}", first + 1)
        if last > first + 1:
            raw = raw[first + 1 : last]
    return crc_hqx(raw, 0) % SLOTS


class Cluster(Topology):
    """Many masters, each in charge of a part of the slots.

    Attributes:
        sharded: Whether the nodes know sharded channels (Redis 7).
        away: Nodes that cannot be reached or do not answer: the monotonic second
            until which nobody else is to try, and what is said of it.
    """

    clustered: ClassVar[bool] = True

    def __init__(self, seeds: Sequence[Node]) -> None:
        """Know nothing but the addresses of the URL.

        Args:
            seeds: Nodes that may be asked for the others.
        """
        super().__init__()
        self.sharded = False
        self.away: dict[Node, tuple[float, str]] = {}
        self._seeds = tuple(seeds)
        self._nodes: list[Node | None] = [None] * SLOTS
        self._masters: tuple[Node, ...] = ()
        self._stale = True
        self._suspects: dict[Node, None] = {}
        self._knowing: Node | None = None
        self._learnt: dict[int, Node] = {}
        self._asking = asyncio.Lock()
        self._news = 0

    async def where(self, wiring: Wiring, node: Node | None) -> dict[str, Any]:
        """Return host and port; see the base."""
        if node is None:
            raise LostError(f"{wiring.place}: no node was named")
        return {"host": node.host, "port": node.port}

    @property
    def masters(self) -> tuple[Node, ...]:
        """Return the nodes with slots, in a fixed order."""
        return self._masters

    async def node(self, wiring: Wiring, slot: int) -> Node:
        """Return the node that is in charge of a slot.

        Raises:
            LostError: No node can be asked, or none is in charge.
        """
        if self._stale:
            await self.refresh(wiring)
        node = self._nodes[slot]
        if node is None:
            self._stale = True
            raise LostError(f"{wiring.place}: no node is in charge of slot {slot}")
        return node

    def expect(self, slot: int) -> Node | None:
        """Return the same as far as it is known, without asking."""
        return self._nodes[slot]

    # -- what nodes answer --------------------------------------------------------

    def redirected(self, error: Exception, node: Node | None) -> None:
        """Learn from one of :data:`REDIRECTS`.

        Args:
            error: The answer.
            node: Who gave it.
        """
        self._news += 1
        if type(error) is MovedError:
            target = target_of(error, node)
            self._nodes[error.slot_id] = self._learnt[error.slot_id] = target
            self._knowing = target
        if not isinstance(error, AskError) or isinstance(error, MovedError):
            self._stale = True

    def failed(self, node: Node | None) -> None:
        """Ask others, and ask for the map again, before the next packet."""
        self._stale = True
        if node is not None:
            self._suspects[node] = None

    # -- the map ------------------------------------------------------------------

    async def refresh(self, wiring: Wiring) -> None:
        """Ask for the map, unless somebody else has just done so.

        Raises:
            LostError: No node answers with a map.
        """
        async with self._asking:
            if not self._stale:
                return
            cause: BaseException | None = None
            before = self._news
            for node in self._candidates():
                try:
                    ranges = await self._ask(wiring, node)
                except (*FAILURES, StoreUnavailableError) as error:
                    cause = error
                    self._suspects[node] = None
                    continue
                self._take(ranges, node)
                # What was learnt since it was asked may not be in the answer,
                # and what another node knows may not have reached this one.
                self._stale = self._news != before
                if self._stale or node != self._knowing:
                    self._overlay()
                if not self._stale:
                    self._knowing = None
                    self._learnt = {}
                return
            if cause is None:
                raise LostError(f"{wiring.place} names no node")
            why = cause if isinstance(cause, LostError) else None
            text = str(why or translated(cause, wiring.place))
            raise LostError(text) from cause

    def _overlay(self) -> None:
        """Let what nodes said of their own slots stand against an older map."""
        for slot, node in self._learnt.items():
            self._nodes[slot] = node

    def _candidates(self) -> list[Node]:
        """Return whom to ask: who knows best, the masters, the seeds; suspects last."""
        first = () if self._knowing is None else (self._knowing,)
        known = dict.fromkeys((*first, *self._masters, *self._seeds))
        sound = [node for node in known if node not in self._suspects]
        return sound + [node for node in known if node in self._suspects]

    async def _ask(self, wiring: Wiring, node: Node) -> list[Any]:
        connection = await wiring.connect(node)
        counters = wiring.counters
        counters.commands += 1
        counters.round_trips += 1
        packet = pack([("CLUSTER", "SLOTS")])
        try:
            async with asyncio.timeout(wiring.exchange_timeout):
                await connection.send_packed_command(packet, check_health=False)
                ranges = await connection.read_response()
        finally:
            with suppress(*FAILURES):
                await connection.disconnect(nowait=True)
        if not ranges:
            raise LostError(f"{wiring.place}: {node} knows of no slot")
        return list(ranges)

    def _take(self, ranges: Iterable[Any], asked: Node) -> None:
        """Take over a map, in which a node without a host is the one asked."""
        nodes: list[Node | None] = [None] * SLOTS
        masters: set[Node] = set()
        sharded = True
        for first, last, master, *_ in ranges:
            host = (master[0] or b"").decode()
            node = Node(asked.host if host in {"", "?"} else host, int(master[1]))
            masters.add(node)
            sharded = sharded and knows_shards(master)
            nodes[first : last + 1] = [node] * (last + 1 - first)
        self._nodes = nodes
        self._masters = tuple(sorted(masters))
        self.sharded: bool = sharded
        # The others are asked last until they have answered: a master that
        # hangs must not hold up each new map.
        self._suspects.pop(asked, None)
        known = masters.union(self._seeds)
        self._suspects = dict.fromkeys(one for one in self._suspects if one in known)


def knows_shards(node: Sequence[Any]) -> bool:
    """Say whether a node of a map has sharded channels.

    Redis 7 brought both them and the fourth entry, so that no other command is
    needed, to which a user might have no right.
    """
    return len(node) > 3


def target_of(error: AskError, node: Node | None) -> Node:
    """Return the node that a redirection names."""
    host = error.host or ("" if node is None else node.host)
    return Node(host, int(error.port))
