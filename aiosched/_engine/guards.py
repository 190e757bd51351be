"""The guards that this peer holds, and what is to be done for them at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiosched._engine.events import EventBus
from aiosched.abc import Guarded, GuardStep, Session
from aiosched.clock import Clock, IdSource
from aiosched.guard import Guard
from aiosched.logs import log

__all__ = ["GuardKeeper"]

T = TypeVar("T")
_GRACE = 2.0
"""Seconds that releases have when the scheduler ends."""


class GuardKeeper:
    """What guards need of their scheduler; see :class:`aiosched.guard.GuardDesk`.

    Attributes:
        loop: The scheduler's.
    """

    def __init__(
        self, session: Session, clock: Clock, bus: EventBus, owner: str, ids: IdSource
    ) -> None:
        self.clock = clock
        self.loop = asyncio.get_running_loop()
        self._ids = ids
        self._session = session
        self._bus = bus
        self._owner = owner
        self._held: set[Guard] = set()
        self._works: set[asyncio.Task[Any]] = set()

    def token(self) -> str:
        """Draw the token of a claim."""
        return self._ids()

    async def step(
        self, step: GuardStep, name: str, token: str, ttl: int = 0
    ) -> Guarded:
        """Ask the store."""
        return await self._session.guard(step, name, token, owner=self._owner, ttl=ttl)

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begin work that the end of the scheduler waits for."""
        task = self.loop.create_task(work, name=name)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return task

    def holds(self, guard: Guard, *, held: bool) -> None:
        """Note that a claim is to be kept, or is not any more."""
        if held:
            self._held.add(guard)
        else:
            self._held.discard(guard)

    def lost(self, guard: Guard, why: str) -> None:
        """Tell that a claim was lost."""
        log.warning(
            "the guard of %r was lost: %s",
            guard.name,
            why,
            extra={"action": "guard_lost", "guard": guard.name},
        )
        self._bus.emit("guard_lost", guard=guard.name, fence=guard.fence, why=why)

    async def close(self) -> None:
        """Wait for releases that are under way; give up what is still held.

        It is released by the end of its body, which may still be at work, or free
        when its time is over.
        """
        for guard in list(self._held):
            guard._lose(self, "its scheduler has ended")
            if guard._renewal is not None:
                guard._renewal.cancel()
        if self._works:
            await asyncio.wait(list(self._works), timeout=_GRACE)
        for task in list(self._works):
            task.cancel()
