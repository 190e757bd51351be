"""The lifeline: leases of runs whose event loop is blocked by user code.

A coroutine that computes for a minute without awaiting stops every loop of its
peer, the heartbeat included.  This one lives elsewhere (in production on a
loop of its own in a thread, over a connection of its own; in simulation as a
task of another node) and extends the leases while the heartbeat is silent, up
to ``BOUND`` leases, so that two peers do not hand a blocking job to each other
for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor as FutureExecutor
from contextlib import suppress

from aiosched._engine.heartbeat import batches, extension
from aiosched.abc import Session
from aiosched.clock import Clock
from aiosched.errors import AioschedError, StoreError
from aiosched.instants import SECOND

__all__ = ["BOUND", "Lifeline", "LifelineThread"]

log = logging.getLogger("aiosched")

BOUND = 40
"""Leases for which a silent heartbeat is stood in for; then the peer is given up."""


class Lifeline:
    """Extends leases while the heartbeat is silent.

    Attributes:
        seen: Tells the monotonic second of the heartbeat's last sign of life.
        snapshot: Tells (shard, job id, fence) of the live runs.
        over: Tells whether the engine has ended, so that nobody runs anything.
        stood_in: Monotonic second since which it has stood in, or None while
            the heartbeat is alive.
    """

    def __init__(
        self,
        clock: Clock,
        connect: Callable[[], Awaitable[Session]],
        owner: str,
        lease: int,
        seen: Callable[[], float],
        snapshot: Callable[[], tuple[tuple[int, str, int], ...]],
        over: Callable[[], bool],
    ) -> None:
        self.clock = clock
        self.connect = connect
        self.owner = owner
        self.lease = lease
        self.seen = seen
        self.stood_in: float | None = None
        self.snapshot = snapshot
        self.over = over
        self._session: Session | None = None

    async def run(self) -> None:
        """Watch until cancelled, or until the engine has ended."""
        interval = self.lease / SECOND / 3
        try:
            while True:
                await self.clock.sleep(interval / 4)
                if self.over():
                    return
                try:
                    runs = self.snapshot()
                except RuntimeError:
                    continue  # the loop has just changed them, so it lives
                if runs:
                    await self._connect()  # before it is needed in a hurry
                now = self.clock.monotonic()
                if now - self.seen() < interval * 1.2:
                    self.stood_in = None
                    continue
                if not runs:
                    # The heartbeat of an idle peer has nothing to say: the
                    # bound begins with the first run that needs a stand-in.
                    self.stood_in = None
                    continue
                if self.stood_in is None:
                    self.stood_in = now
                if now - self.stood_in <= BOUND * self.lease / SECOND:
                    await self._extend(runs)
        finally:
            if self._session is not None:
                await self._session.close()

    async def _connect(self) -> None:
        if self._session is None:
            with suppress(AioschedError):
                self._session = await self.connect()

    async def _extend(self, runs: tuple[tuple[int, str, int], ...]) -> None:
        if self._session is None:
            return
        try:
            for _, fences in batches(runs):
                decide = extension(self.owner, fences, self.lease)
                await self._session.transact(list(fences), decide)
        except StoreError as error:
            # Tried again at the next turn, and the heartbeat may be back.
            log.warning("the lifeline could not extend: %s", error)


class LifelineThread:
    """A lifeline on a loop of its own, in a daemon thread."""

    def __init__(self, lifeline: Lifeline, name: str) -> None:
        self._lifeline = lifeline
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._told = False

    def start(self) -> None:
        """Start watching."""
        self._thread.start()
        self._ready.wait(5)

    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.current_task()
            told = self._told
        self._ready.set()
        if told:
            return
        try:
            await self._lifeline.run()
        except asyncio.CancelledError:
            return

    def stop(self) -> None:
        """Tell it to end, without waiting; safe to call twice."""
        with self._lock:
            if self._told:
                return  # a second cancellation would cut its last steps short
            self._told = True
            loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                loop.call_soon_threadsafe(task.cancel)

    async def ended(self, threads: FutureExecutor) -> None:
        """Wait until its connection is closed."""
        if not self._thread.is_alive():
            return
        waiting = asyncio.get_running_loop()
        await waiting.run_in_executor(threads, self._thread.join, 2.0)
