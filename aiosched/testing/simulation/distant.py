"""Signals of the memory store on their way through the simulated network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import Context, copy_context
from typing import TYPE_CHECKING

from aiosched.abc import Signal, SignalStream
from aiosched.errors import StoreError
from aiosched.stores.space import RESYNC, Listener, Space

if TYPE_CHECKING:
    from aiosched.testing.simulation.latent import LatentStore
    from aiosched.testing.simulation.world import World

__all__ = ["LatentStream"]

_PAUSE = 0.1
_LONG_PAUSE = 1.0


class DistantListener(Listener):
    """Where signals arrive after their way through the network."""

    __slots__ = ("arrival", "context", "generation", "node", "world")

    def __init__(self, world: World, node: str) -> None:
        """Belong to the node whose code is running."""
        super().__init__()
        self.world: World = world
        self.node: str = node
        self.context: Context = copy_context()
        self.arrival: float = 0.0
        self.generation: int = 0

    def hear(self, signal: Signal) -> None:
        """Send a signal on its way, behind those that were sent before."""
        world = self.world
        copies, late = world.signal_fate(self.node)
        if not copies:
            return
        ways = world.conditions
        loop = world.loop
        sent = max(loop.time(), ways.silent_until(self.node))
        self.arrival = max(self.arrival, sent + late + ways.latency(self.node))
        for _ in range(copies):
            loop.call_at(
                self.arrival,
                self._arrive,
                signal,
                self.generation,
                context=self.context,
            )

    def _arrive(self, signal: Signal, generation: int) -> None:
        if generation == self.generation:
            super().hear(signal)

    def tell(self, signal: Signal) -> None:
        """Keep a signal that came over no network."""
        super().hear(signal)


class LatentStream(SignalStream, AsyncIterator[Signal]):
    """A subscription whose connection can be cut; it makes a new one."""

    def __init__(self, door: LatentStore, space: Space) -> None:
        """Subscribe to nothing yet."""
        self.node: str = door.node
        self._door = door
        self._space = space
        self._listener = DistantListener(door.world, door.node)
        self._wanted: tuple[frozenset[int], frozenset[int]] | None = None
        self._gap = False
        door.premises.streams.append(self)

    async def watch(self, changed: frozenset[int], done: frozenset[int]) -> None:
        """Listen to exactly these shards, once that is confirmed."""
        if self._listener.closed:
            raise StoreError("this subscription is closed")
        self._wanted = changed, done
        line = await self._door.there("watch")
        if not self._listener.closed:
            self._connect()
        await self._door.back(line, "watch")

    def __aiter__(self) -> AsyncIterator[Signal]:
        """Yield signals until the stream is closed."""
        return self

    async def __anext__(self) -> Signal:
        """Return the next signal that has arrived."""
        return await self._listener.following()

    def reset(self) -> None:
        """Give the connection up and make a new one."""
        if self._listener.live:
            self.cut()

    async def aclose(self) -> None:
        """End the subscription; safe to call twice."""
        if not self._listener.closed:
            self.forget()
            self._listener.close()

    def forget(self) -> None:
        """Hear nothing more."""
        self._leave()
        if self in self._door.premises.streams:
            self._door.premises.streams.remove(self)

    def cut(self) -> None:
        """Lose the connection, with what is on its way; try again soon."""
        self._leave()
        if self._wanted is not None and not self._gap:
            self._gap = True
            self._later(_PAUSE)

    def _leave(self) -> None:
        listener = self._listener
        listener.generation += 1
        listener.arrival = 0.0
        if listener.live:
            listener.live = False
            self._space.listeners.remove(listener)

    def _later(self, seconds: float) -> None:
        loop, context = self._door.world.loop, self._listener.context
        loop.call_later(seconds, self._try_again, context=context)

    def _try_again(self) -> None:
        if self._listener.closed:
            return
        world = self._door.world
        silent = world.conditions.silent_until(self.node) - world.loop.time()
        if silent > 0:
            self._later(silent + world.conditions.latency(self.node))
        elif world.conditions.refused() or self._loading():
            self._later(_LONG_PAUSE)
        else:
            self._connect()

    def _loading(self) -> bool:
        return (self._door.world.conditions.refusing() or "").startswith("LOADING")

    def _connect(self) -> None:
        listener = self._listener
        if self._wanted is not None:
            listener.changed, listener.done = self._wanted
        if not listener.live:
            listener.live = True
            self._space.listeners.append(listener)
        if self._gap:
            self._gap = False
            listener.tell(RESYNC)
