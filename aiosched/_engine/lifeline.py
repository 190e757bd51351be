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
import contextvars
import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor as FutureExecutor

from aiosched._engine.heartbeat import batches, extension
from aiosched.abc import Session
from aiosched.clock import Clock
from aiosched.errors import AioschedError, StoreError
from aiosched.instants import SECOND
from aiosched.logs import log
from aiosched.records import Change, Record

__all__ = ["BOUND", "Lifeline", "LifelineTask", "LifelineThread", "hosted"]

_ENDED = "it has ended: start the process again"

LONGEST_TURN = 1.0
TURN = 3.0
"""Seconds that one look, or the transaction of one shard, may take."""

BOUND = 40
"""Leases for which a silent heartbeat is stood in for; then the peer is given up."""


class Lifeline:
    """Extends leases while the heartbeat is silent.

    Attributes:
        seen: Tells the monotonic second of the heartbeat's last sign of life.
        snapshot: Tells (shard, job id, fence) of the live runs.
        over: Tells whether the engine has ended, so that nobody runs anything.
        healthy: False between a failure and the next success.
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
        self.healthy = True
        self.trouble = ""
        self._well = True
        self._answered = False
        self._expected: float | None = None
        self.snapshot = snapshot
        self.over = over
        self._session: Session | None = None
        self._used = -math.inf

    async def run(self) -> None:
        """Watch until cancelled, or until the engine has ended.

        Whatever goes wrong in a turn, the next is taken: nobody else stands in.
        """
        lease = self.lease / SECOND
        # A very long lease is not looked after each second.
        pause = min(lease / 12, max(LONGEST_TURN, lease / 20))
        try:
            while True:
                self._step(pause)
                await self.clock.sleep(pause)
                if self.over():
                    return
                self._step()
                self._well, self._answered = True, False
                try:
                    await self._turn(self.lease / SECOND / 3)
                except Exception as error:
                    self._failed(error)
                if self._well and self._answered:
                    self.healthy = True
        finally:
            self._expected = None
            if self._session is not None:
                await self._session.close()

    async def _turn(self, interval: float) -> None:
        try:
            runs = self.snapshot()
        except RuntimeError:
            return  # the loop has just changed them, so it lives
        if runs or not self.healthy:
            # Before it is needed in a hurry; and whoever has failed is well again
            # when that succeeds, not when there is nothing to do.
            await self._connect()
        now = self.clock.monotonic()
        # The heartbeat of an idle peer has nothing to say: the bound begins
        # with the first run that needs a stand-in.
        if not runs or now - self.seen() < interval * 1.2:
            self.stood_in = None
            if not self.healthy or (runs and now - self._used >= interval):
                await self._try(runs[0][1] if runs else self.owner)
            return
        if self.stood_in is None:
            self.stood_in = now
        if now - self.stood_in <= BOUND * self.lease / SECOND:
            await self._extend(runs)
        elif not self.healthy:
            await self._try(runs[0][1])

    def _step(self, rest: float = 0.0) -> None:
        self._expected = self.clock.monotonic() + rest + TURN

    def overdue(self) -> float:
        """Return for how many seconds a turn has been overdue; 0: none is.

        May be asked from any thread.
        """
        expected = self._expected
        if expected is None:
            return 0.0
        return max(self.clock.monotonic() - expected, 0.0)

    def _failed(self, error: Exception) -> None:
        """Tell of a failure, once until the next success of a whole turn."""
        self._well = False
        self.trouble = str(error) or repr(error)
        if self.healthy:
            self.healthy = False
            log.warning(
                "the lifeline has failed, and goes on trying: %r",
                error,
                extra={"action": "lifeline_failed"},
            )

    async def _connect(self) -> None:
        if self._session is None:
            try:
                self._session = await self.connect()
            except AioschedError as error:
                self._failed(error)

    async def _try(self, job_id: str) -> None:
        """Use the connection although there is nothing to do.

        One that died unnoticed would be found out by a timeout when it is needed
        in a hurry, and cost the leases.  That there is a connection is no sign
        that an outage is over.

        Args:
            job_id: Whose record is looked at; there need be none.
        """
        if self._session is not None:
            self._used = self.clock.monotonic()
            try:
                await self._session.transact([job_id], _nothing)
            except StoreError as error:
                self._failed(error)
            else:
                self._answered = True

    async def _extend(self, runs: tuple[tuple[int, str, int], ...]) -> None:
        if self._session is None:
            return
        for fences in batches(runs, spanning=self._session.spanning):
            decide = extension(self.owner, fences, self.lease)
            self._step()
            try:
                await self._session.transact(list(fences), decide)
            except StoreError as error:
                # The heartbeat may be back before the next turn; a store of
                # several servers has the other shards elsewhere.
                self._failed(error)
            else:
                self._answered = True


def _nothing(_: Mapping[str, Record | None], __: int) -> dict[str, Change]:
    return {}


def hosted(lifeline: Lifeline, name: str) -> LifelineThread | LifelineTask:
    """Give a lifeline its host: a thread, or what stands for one in simulation.

    A simulated loop has no threads; it can start a task that goes on while the
    node is blocked, and ends with it (``spawn_beside``).
    """
    beside = getattr(asyncio.get_running_loop(), "spawn_beside", None)
    if beside is None:
        return LifelineThread(lifeline, name)
    return LifelineTask(lifeline, name, beside)


class LifelineTask:
    """A lifeline in a simulation: a task of its own, outside of its node's loop."""

    name = "lifeline"

    def __init__(
        self,
        lifeline: Lifeline,
        name: str,
        beside: Callable[..., asyncio.Task[None]],
    ) -> None:
        self._lifeline = lifeline
        self._name = name
        self._beside = beside
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start watching."""
        self._task = self._beside("lifeline", self._lifeline.run(), name=self._name)

    def stop(self) -> None:
        """Tell it to end, without waiting; safe to call twice."""
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()

    @property
    def healthy(self) -> bool:
        """Whether it goes on watching, and its last turn went well."""
        return self._going() and self._lifeline.healthy

    @property
    def trouble(self) -> str:
        """What went wrong in it last."""
        return self._lifeline.trouble if self._going() else _ENDED

    def _going(self) -> bool:
        return self._task is not None and not self._task.done()

    def overdue(self) -> float:
        """Return for how many seconds a turn has been overdue; 0: none is."""
        return self._lifeline.overdue()

    async def ended(self, threads: FutureExecutor) -> None:  # noqa: ARG002 - none needed
        """Wait until its connection is closed."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=2.0)


class LifelineThread:
    """A lifeline on a loop of its own, in a daemon thread."""

    name = "lifeline"

    def __init__(self, lifeline: Lifeline, name: str) -> None:
        self._lifeline = lifeline
        self._thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._main,),
            name=name,
            daemon=True,
        )
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

    @property
    def healthy(self) -> bool:
        """Whether it goes on watching, and its last turn went well."""
        return self._thread.is_alive() and self._lifeline.healthy

    @property
    def trouble(self) -> str:
        """What went wrong in it last."""
        return self._lifeline.trouble if self._thread.is_alive() else _ENDED

    def overdue(self) -> float:
        """Return for how many seconds a turn has been overdue; 0: none is."""
        return self._lifeline.overdue()

    async def ended(self, threads: FutureExecutor) -> None:
        """Wait until its connection is closed."""
        if not self._thread.is_alive():
            return
        waiting = asyncio.get_running_loop()
        await waiting.run_in_executor(threads, self._thread.join, 2.0)
