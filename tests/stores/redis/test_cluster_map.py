"""What a session believes of who has which slot: maps, redirections, silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from redis.exceptions import ClusterDownError, MovedError

from aiosched.abc import Counters
from aiosched.errors import StoreUnavailableError
from aiosched.stores.redis.cluster import SLOTS, Cluster
from aiosched.stores.redis.connection import LostError, Wiring
from aiosched.stores.redis.pools import Pools
from aiosched.stores.redis.topology import Node

A, B, C = (Node("10.0.0.1", port) for port in (1, 2, 3))
SLOT = 7


class Nodes:
    """Stands for the wiring: nodes that answer with maps.

    Attributes:
        maps: What each node says: the owner of ``SLOT``; all others are A's.
        meanwhile: Called while a node is being asked.
        asked: Whom somebody has asked for a map.
        exchange_timeout: As the session's.
    """

    place = "redis+cluster://test"

    def __init__(self, **maps: Node) -> None:
        self.maps = {{"A": A, "B": B, "C": C}[k]: owner for k, owner in maps.items()}
        self.meanwhile: Callable[[], None] = lambda: None
        self.asked: list[Node] = []
        self.counters = Counters()
        self.exchange_timeout = 5.0
        self.topology = Cluster([A])

    async def connect(self, node: Node) -> Any:
        if node not in self.maps:
            raise ConnectionRefusedError(node)
        self.asked.append(node)
        return _Answering(self, node)

    async def owner(self) -> Node:
        return await self.topology.node(cast("Wiring", self), SLOT)

    def moved(self, target: Node, *, told_by: Node = A) -> None:
        error = MovedError(f"{SLOT} {target}")
        self.topology.redirected(error, told_by)


class _Answering:
    def __init__(self, nodes: Nodes, node: Node) -> None:
        self._nodes, self._node = nodes, node

    async def send_packed_command(self, *_: object, **__: object) -> None:
        self._said = self._nodes.maps[self._node]  # as it was when it was asked
        self._nodes.meanwhile()

    async def read_response(self) -> list[Any]:
        def master(node: Node) -> list[Any]:
            return [node.host.encode(), node.port, b"id", []]

        return [
            [0, SLOT - 1, master(A)],
            [SLOT, SLOT, master(self._said)],
            [SLOT + 1, SLOTS - 1, master(A)],
        ]

    async def disconnect(self, **_: object) -> None:
        return


async def test_a_map_on_its_way_does_not_undo_what_was_learnt_since() -> None:
    """The answer is older than the redirection, which came while it was awaited."""
    nodes = Nodes(A=A)
    nodes.meanwhile = lambda: nodes.moved(B)
    assert await nodes.owner() == B
    nodes.meanwhile = lambda: None
    # And it is asked for again: by whoever is said to know.
    nodes.maps[B] = B
    assert await nodes.owner() == B
    assert nodes.asked == [A, B]


async def test_a_node_that_is_behind_does_not_undo_what_was_learnt_before() -> None:
    """Whoever knows cannot be asked; the others have not heard of it yet."""
    nodes = Nodes(A=A)
    assert await nodes.owner() == A
    nodes.moved(B)
    assert await nodes.owner() == B, "an older map stood against a newer redirection"
    assert nodes.asked == [A, A]


async def test_a_later_map_counts_again() -> None:
    """What was learnt stands against the maps of that time only."""
    nodes = Nodes(A=A)
    nodes.moved(B)
    assert await nodes.owner() == B
    nodes.maps[A] = C
    nodes.topology.redirected(ClusterDownError("down"), A)
    assert await nodes.owner() == C


async def test_who_knows_is_asked_first_and_believed() -> None:
    """It has passed the slot on meanwhile."""
    nodes = Nodes(A=A, B=B)
    assert await nodes.owner() == A
    nodes.moved(B)
    nodes.maps[B] = C
    assert await nodes.owner() == C
    assert nodes.asked == [A, B]


async def test_a_node_that_failed_is_asked_last_until_it_answers() -> None:
    nodes = Nodes(A=B, B=B)
    assert await nodes.owner() == B
    nodes.topology.failed(A)
    nodes.asked.clear()
    for _ in range(3):
        nodes.topology.redirected(ClusterDownError("down"), B)
        await nodes.owner()
    assert nodes.asked == [B, B, B], "it was asked before one that answers"


class _Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize("seconds", [0.0, 5.0], ids=["refused", "silent"])
async def test_a_node_that_is_away_is_left_alone_for_a_while(seconds: float) -> None:
    nodes, clock = Nodes(A=B), _Clock()
    tries = 0

    async def connect(_: Node) -> Any:
        nonlocal tries
        tries += 1
        clock.now += seconds
        await asyncio.sleep(0)
        raise ConnectionRefusedError

    nodes.connect = connect  # type: ignore[method-assign]
    pools = Pools(cast("Wiring", nodes), 1, "home", cast("Any", clock))

    async def take() -> None:
        async with pools.to(B):
            raise AssertionError("nobody is there")

    with pytest.raises(LostError):
        await take()
    for _ in range(5):
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            await take()
    assert tries == 1
    clock.now += 0.3 if not seconds else nodes.exchange_timeout
    with pytest.raises(LostError):
        await take()
    assert tries == 2


@pytest.mark.parametrize("silent", [A, B, None])
async def test_only_who_is_silent_is_left_alone(silent: Node | None) -> None:
    """Within a block somebody else may be asked: that says nothing of this node."""
    nodes, clock = Nodes(A=B), _Clock()

    async def connect(_: Node) -> Any:
        return _Answering(nodes, B)

    nodes.connect = connect  # type: ignore[method-assign]
    pools = Pools(cast("Wiring", nodes), 1, "home", cast("Any", clock))

    async def ask_somebody() -> None:
        async with pools.to(B):
            clock.now += nodes.exchange_timeout
            raise LostError("no answer", silent)

    with pytest.raises(LostError):
        await ask_somebody()
    assert set(nodes.topology.away) == ({B} if silent == B else set())
