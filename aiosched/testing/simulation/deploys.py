"""Rolling restarts: each node in turn ends politely and comes up with newer code."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiosched.testing.simulation.chance import CLOCK
from aiosched.testing.simulation.parts import Node

if TYPE_CHECKING:
    from aiosched.testing.simulation.world import World

__all__ = ["POLITE", "deployed"]

POLITE = 30.0
"""Seconds that a node has for its polite end."""


async def deployed(world: World, names: Sequence[str], gap: float) -> None:
    """Give each node the next revision of the code, one after the other.

    Args:
        world: Whose nodes they are.
        names: In which order.
        gap: Seconds between two of them.
    """
    revision = 1 + max(node.revision for node in world.nodes.values())
    for name in names:
        node = world.nodes[name]
        node.revision = revision
        if not node.down:
            await _replace(world, node)
        await CLOCK.sleep(gap)
        world.calm_at = max(world.calm_at, world.loop.time())


async def _replace(world: World, node: Node) -> None:
    """End a node politely, or else by force, and bring up its successor."""
    incarnation = node.incarnation
    if node.halt is not None:
        task = world.loop.spawn(node.name, node.halt(), name=f"halt {node.name}")
        await asyncio.wait([task], timeout=POLITE)
        if task.done() and not task.cancelled() and task.exception() is not None:
            world.trace("bad halt", node.name, repr(task.exception()))
            world.counts["bad halts"] += 1
    if node.down or node.incarnation != incarnation:
        return  # it was killed meanwhile
    world.crash(node.name)
    world.boot(node.name)
