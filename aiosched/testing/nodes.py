"""Who a piece of simulated work belongs to: nodes, their lives, their tasks.

A node is one simulated process.  Its name travels in :data:`NODE`, a context
variable, so whatever a node's code makes (tasks, timers, callbacks, threads)
belongs to that node without anybody passing a name along.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from contextlib import suppress
from contextvars import Context, ContextVar
from typing import Any, TypeVar

__all__ = [
    "NODE",
    "Life",
    "VirtualFuture",
    "VirtualTask",
    "VirtualTimer",
    "process_of",
]

_T = TypeVar("_T")
_PATIENCE = 100

NODE: ContextVar[str | None] = ContextVar("aiosched_node", default=None)
"""Name of the node whose code is running; None outside of every node.

Read it freely.  Set it only through ``VirtualLoop.spawn`` or
``VirtualLoop.node_context``, which also say which life of the node is meant.
"""

BESIDE = "/"


def process_of(node: str) -> str:
    """Return the process of a node: what stands before the first slash.

    ``p1/lifeline`` stands for a thread of the process ``p1``: it has a loop of
    its own there, so that it goes on while the loop of ``p1`` is blocked, and
    ends when ``p1`` is killed.
    """
    return node.partition(BESIDE)[0]


LIFE: ContextVar[Life | None] = ContextVar("aiosched_life", default=None)


class Life:
    """One incarnation of a node, from its first task to its crash.

    A restarted node has the same name and another life, so that a wake-up
    that was meant for the dead cannot reach the living.
    """

    __slots__ = ("dead", "name", "parked", "stalled_until")

    def __init__(self, name: str) -> None:
        """Begin the life of the node with that name."""
        self.name: str = name
        self.dead: bool = False
        self.stalled_until: float | None = None
        self.parked: list[Any] = []


class VirtualFuture(asyncio.Future[Any]):
    """A future that hashes by its serial number, so sets of them have an order."""

    serial: int = 0

    def __hash__(self) -> int:
        """Return the serial number; addresses differ from run to run."""
        return self.serial


class VirtualTimer(asyncio.TimerHandle):
    """A timer that, among those of one instant, runs in the order of their birth."""

    __slots__ = ("serial",)

    serial: int
    _when: float
    _scheduled: bool

    def __lt__(self, other: object) -> bool:
        """Compare by instant, then by serial number."""
        if not isinstance(other, VirtualTimer):
            return NotImplemented
        if self._when == other._when:
            return self.serial < other.serial
        return self._when < other._when


class VirtualTask(asyncio.Task[_T]):
    """A task that hashes by its serial number and knows its node's life."""

    def __init__(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        loop: asyncio.AbstractEventLoop,
        name: str,
        context: Context,
        serial: int,
    ) -> None:
        """Start the coroutine in the context, which is used as it is."""
        # asyncio registers the task in a set before __init__ returns.
        self.serial = serial
        self.context = context
        self.life: Life | None = context.get(LIFE)
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        """Return the serial number; addresses differ from run to run."""
        return self.serial

    def cancel(self, msg: Any = None) -> bool:
        """Ask the task to end; one of a crashed node only counts as cancelled.

        So a living task that waits for a dead one can be timed out.
        """
        if self.life is not None and self.life.dead:
            return super(asyncio.Task, self).cancel(msg)
        return super().cancel(msg)

    def bury(self) -> None:
        """Close the coroutine; what its ``finally`` blocks raise is dropped."""
        chain: list[Any] = []
        current: Any = self.get_coro()
        while isinstance(current, types.CoroutineType):
            chain.append(current)
            current = current.cr_await
        # The innermost first: one whose ``finally`` awaits fails whoever closes
        # it from outside, and would be left to the collector, half closed.
        for coro in reversed(chain):
            self._close(coro)

    def _close(self, coro: Any) -> None:
        for _ in range(_PATIENCE):
            # A ``finally`` that awaits survives one close and needs another.
            with suppress(Exception, asyncio.CancelledError):
                self.context.run(coro.close)
            if getattr(coro, "cr_frame", None) is None:
                return


def bury_generator(agen: types.AsyncGeneratorType[Any, Any]) -> None:
    """Close an asynchronous generator without a loop."""
    closing: Any = agen.aclose()
    with suppress(StopIteration, Exception, asyncio.CancelledError):
        closing.send(None)
        for _ in range(_PATIENCE):
            closing.throw(GeneratorExit)
