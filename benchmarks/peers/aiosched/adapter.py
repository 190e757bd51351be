"""aiosched itself, from this tree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any

from inmemory import Starts, resident
from marks import mark, tick
from protocol import Due, Peer, address, forever, main, run, when

from aiosched import DateTrigger, IntervalTrigger, Job, Scheduler


async def noop(index: int) -> None:
    """Say that it ran."""
    mark(index)


async def quiet() -> None:
    """Do nothing at all."""


async def pulse(job: int) -> None:
    """Say that it ran in this second."""
    tick(job)


class Aiosched(Peer):
    """A scheduler that runs jobs, and one that only schedules."""

    packages = ("redis", "pydantic", "hiredis", "uvloop")

    def open(self) -> Any:
        """Begin as a client; ``noop`` is registered to check its arguments."""
        self.client = Scheduler(self.url, run_jobs=False)
        self.client.register(noop)
        self.client.register(pulse)
        return self.client.start()

    def close(self) -> Any:
        """End."""
        return self.client.shutdown()

    async def bulk(self, indices: Sequence[int]) -> None:
        """Build the jobs and store them all."""
        await self.client.schedule_many(
            [Job(executor="noop", args=(index,)) for index in indices]
        )

    async def one(self, index: int) -> None:
        """Build a job and store it."""
        await self.client.schedule(Job(executor="noop", args=(index,)))

    async def at(self, dues: Sequence[Due]) -> None:
        """Store jobs of one slot each, a few thousand at a time."""
        for begin in range(0, len(dues), 5_000):
            await self.client.schedule_many(
                [
                    Job(executor="noop", args=(index,), trigger=DateTrigger(when(due)))
                    for index, due in dues[begin : begin + 5_000]
                ]
            )

    async def every(self, jobs: int, first: float, times: int) -> None:
        """Store jobs of one slot each second."""
        await self.client.schedule_many(
            [
                Job(
                    executor="pulse",
                    args=(index,),
                    max_runs=times,
                    trigger=IntervalTrigger(seconds=1, start=when(first)),
                )
                for index in range(jobs)
            ]
        )

    # -- in one process, without a server --------------------------------------

    async def memory_drain(self, count: int) -> dict[str, Any]:
        """Let so many due jobs go at once."""
        starts = Starts(count)
        scheduler = Scheduler()
        scheduler.register(starts.run, name="noop")
        await scheduler.start(paused=True)
        jobs = [Job(executor="noop", args=(index,)) for index in range(count)]
        begun = time.perf_counter()
        await scheduler.schedule_many(jobs)
        added = time.perf_counter() - begun
        begun, used = time.perf_counter(), time.process_time()
        await scheduler.release()
        await starts.all()
        found = {"drained": time.perf_counter() - begun, "added": added}
        await scheduler.drain()
        found["drain_cpu"] = time.process_time() - used
        await scheduler.shutdown()
        return found

    async def memory_bytes(self, count: int) -> dict[str, Any]:
        """Hold so many jobs an hour ahead."""
        async with Scheduler() as scheduler:
            scheduler.register(noop)
            before, begin = resident(), time.time() + 3_600
            for low in range(0, count, 1_000):
                await scheduler.schedule_many(
                    [
                        Job(
                            executor="noop",
                            args=(index,),
                            trigger=DateTrigger(when(begin + index / 1_000)),
                        )
                        for index in range(low, low + 1_000)
                    ]
                )
            return {"bytes": (resident() - before) / count}

    async def memory_lateness(self, offsets: Sequence[float]) -> dict[str, Any]:
        """Run jobs at instants, and say how late each was."""
        starts = Starts(len(offsets))
        async with Scheduler() as scheduler:
            scheduler.register(starts.run, name="noop")
            begin = time.time() + 0.5 + len(offsets) / 1_000
            dues = [begin + offset for offset in offsets]
            await scheduler.schedule_many(
                [
                    Job(executor="noop", args=(index,), trigger=DateTrigger(when(due)))
                    for index, due in enumerate(dues)
                ]
            )
            await starts.all()
        return {"late_ms": starts.late_ms(dues)}

    # -- what was written down ------------------------------------------------

    async def ledger(self, count: int) -> dict[str, Any]:
        """Keep so many outcomes, and ask about one job among them."""
        starts = Starts(count)
        async with Scheduler(self.url) as scheduler:
            scheduler.register(starts.run, name="noop")
            scheduler.register(quiet)
            asked = await scheduler.schedule(Job(executor="quiet", id="asked"))
            for low in range(0, count, 10_000):
                high = min(count, low + 10_000)
                await scheduler.schedule_many(
                    [Job(executor="noop", args=(index,)) for index in range(low, high)]
                )
                await starts.all(high)
            await scheduler.drain()
            return await _asked(scheduler, asked)

    # -- what is told to others -----------------------------------------------

    async def resync(self, count: int) -> dict[str, Any]:
        """Schedule here until it is armed there, beside a bare PUBLISH.

        The peer that hears is in this process, so that one clock measures, and
        what it knows of its agendas is watched from within.
        """
        host, port = address(self.url)
        bare = await Bare.open(host, port)
        armed, floor = [], []
        async with Scheduler(self.url) as peer:
            peer.register(noop)
            await forget(0.5)
            heads: Any = peer._engine.heads  # type: ignore[union-attr]
            heard = Heard(heads)
            for number in range(count):
                job = Job(
                    executor="noop",
                    args=(0,),
                    trigger=DateTrigger(when(time.time() + 3_600 + number)),
                )
                waiting = heard.expect(job.id)
                begun = time.perf_counter()
                task = asyncio.ensure_future(self.client.schedule(job))
                await asyncio.wait_for(waiting, 10)
                armed.append((heard.at - begun) * 1e3)
                await task
                floor.append(await bare.exchange() * 1e3)
        return {"armed_ms": armed, "floor_ms": floor}

    def work(self) -> None:
        """Run one peer."""
        run(self._work(), uvloop=bool(self.settings.get("uvloop")))

    async def _work(self) -> None:
        async with Scheduler(self.url, **self.settings.get("scheduler", {})) as peer:
            peer.register(noop)
            peer.register(pulse)
            await forever()


async def forget(seconds: float) -> None:
    """Let others come to rest."""
    await asyncio.sleep(seconds)


async def _asked(scheduler: Scheduler, job: Job) -> dict[str, Any]:
    """Ask about one job, nine times; the median counts."""
    now = datetime.now(UTC)
    history, why = [], []
    rows = 0
    for _ in range(9):
        begun = time.perf_counter()
        rows = len(await scheduler.history(job))
        history.append((time.perf_counter() - begun) * 1e3)
        begun = time.perf_counter()
        await scheduler.why(job, now)
        why.append((time.perf_counter() - begun) * 1e3)
    return {"history_ms": median(history), "why_ms": median(why), "rows": rows}


class Heard:
    """Tells when a peer's agendas take up a job."""

    def __init__(self, heads: Any) -> None:
        """Stand between the peer and what it hears."""
        self._update = heads.update
        heads.update = self._told
        self._id = ""
        self.at = 0.0
        self._future: asyncio.Future[None] | None = None

    def expect(self, job_id: str) -> asyncio.Future[None]:
        """Wait for this job."""
        self._id = job_id
        self._future = asyncio.get_running_loop().create_future()
        return self._future

    def _told(self, key: Any, job_id: str, at: int | None, seq: int = 0) -> None:
        self._update(key, job_id, at, seq)
        if job_id == self._id and self._future and not self._future.done():
            self.at = time.perf_counter()
            self._future.set_result(None)


class Bare:
    """Two raw connections: one publishes, the other is told."""

    @classmethod
    async def open(cls, host: str, port: int) -> Bare:
        """Connect and subscribe."""
        bare = cls()
        # A stream whose other half is let go is closed.
        bare.answers, bare.out = await asyncio.open_connection(host, port)
        bare.into, bare.wire = await asyncio.open_connection(host, port)
        bare.wire.write(b"SUBSCRIBE bare\r\n")
        await bare.into.readuntil(b":1\r\n")
        return bare

    async def exchange(self) -> float:
        """Publish, and return the seconds until it was told."""
        begun = time.perf_counter()
        self.out.write(b"PUBLISH bare 12345678901234567890\r\n")
        await self.into.readuntil(b"12345678901234567890\r\n")
        return time.perf_counter() - begun


if __name__ == "__main__":
    main(Aiosched)
