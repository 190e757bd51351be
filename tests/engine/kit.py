"""What the engine's tests share: peers on one store, and what they have run.

Time is virtual: ``now()`` counts the seconds since the test began.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from aiosched import Context, Job, MemoryJobStore, Reason, Scheduler
from aiosched.abc import JobStore
from aiosched.clock import seeded_ids
from aiosched.instants import SECOND, moment
from aiosched.testing import START, VirtualLoop

__all__ = ["Ran", "World", "adds_up", "after", "at", "loop", "now"]


def loop() -> VirtualLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualLoop)
    return running


def now() -> float:
    """Return the seconds since the beginning, to the microsecond."""
    return round(loop().time(), 6)


def at(seconds: float) -> Any:
    """Return the wall time of a virtual second."""
    return moment(START + round(seconds * SECOND))


def after(seconds: float) -> timedelta:
    """Return a duration."""
    return timedelta(seconds=seconds)


@dataclass(eq=False)
class Ran:
    """One run, as the executor itself saw it."""

    peer: str
    job: str
    key: str
    attempt: int
    missed: int
    fence: int
    at: float
    fire_time: float
    until: float | None = None
    reason: Reason = Reason.NONE


class World:
    """Peers on one store in one loop.

    ``work`` is registered on every peer: it notes the run, takes ``seconds``
    and returns ``value``.
    """

    def __init__(self, store: JobStore | None = None, **options: Any) -> None:
        self.store = MemoryJobStore() if store is None else store
        self.options = options
        self.runs: list[Ran] = []
        self.peers: dict[str, Scheduler] = {}
        self._dead: set[str] = set()
        self._seeds = itertools.count(1)

    def build(self, name: str, *, work: bool = True, **options: Any) -> Scheduler:
        """Build a peer without starting it."""
        chosen = {"ids": seeded_ids(next(self._seeds)), **self.options, **options}
        scheduler = Scheduler(self.store, name=name, **chosen)
        if work:
            scheduler.register(self.worker(name), name="work")
        self.peers[name] = scheduler
        return scheduler

    async def start(self, scheduler: Scheduler) -> Scheduler:
        """Start a peer as a node of its own name, which can crash and stall."""
        await loop().spawn(scheduler.name, scheduler.start())
        return scheduler

    async def peer(self, name: str = "p0", **options: Any) -> Scheduler:
        """Build a peer and start it."""
        return await self.start(self.build(name, **options))

    def crash(self, name: str) -> None:
        """Kill a peer as SIGKILL would."""
        loop().crash(name)
        self._dead.add(name)

    def worker(self, name: str) -> Any:
        """Return the executor of one peer."""

        async def work(
            context: Context, seconds: float = 0.0, value: Any = None
        ) -> Any:
            ran = self.note(name, context)
            try:
                if seconds:
                    await asyncio.sleep(seconds)
            finally:
                ran.until, ran.reason = now(), context.cancel_reason
            return value

        return work

    def note(self, name: str, context: Context) -> Ran:
        """Note that a run has begun."""
        ran = Ran(
            name,
            context.job_id,
            context.run_id.split("/")[1],
            context.attempt,
            context.missed,
            context.fence,
            now(),
            round((context.fire_time - at(0)).total_seconds(), 6),
        )
        self.runs.append(ran)
        return ran

    def of(self, job: Job | str) -> list[Ran]:
        """Return the runs of one job."""
        name = job if isinstance(job, str) else job.id
        return [ran for ran in self.runs if ran.job == name]

    def begun(self, job: Job | str) -> list[float]:
        """Return when the runs of one job began."""
        return [ran.at for ran in self.of(job)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        living = [s for name, s in self.peers.items() if name not in self._dead]
        await asyncio.gather(*(s.shutdown(force=True) for s in living))


def adds_up(job: Job) -> None:
    """Check the two sums that hold of every job at every moment."""
    counts = job.counts
    assert counts.fired + counts.asked >= counts.outcomes
    open_firings = counts.fired + counts.asked - counts.outcomes
    assert open_firings == job.running + job.waiting, counts
