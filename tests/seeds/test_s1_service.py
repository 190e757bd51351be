"""A service that runs schedules side by side: S1-01, S1-03, S1-25, S1-28, S1-32."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiosched import Context, IntervalTrigger, Job, RedisJobStore
from aiosched.testing import redis_model
from tests import servers
from tests.engine.kit import World, loop, now
from tests.integrations.programs import Program
from tests.seeds.stage import Stage
from tests.simulation.model.wiring import factory
from tests.waiting import wait_until

# --- S1-01: a service that stays up --------------------------------------------

SERVICE = """
import os
from aiosched import Context, IntervalTrigger, Scheduler

scheduler = Scheduler(
    os.environ["REDIS_URL"], namespace="service", lease=1, terms={"beat": 0.2}
)

@scheduler.job(IntervalTrigger(milliseconds=200), id="job")
async def job(context: Context) -> None:
    print("the job has run", flush=True)
    raise LookupError("as always")
"""


@pytest.mark.seed("S1-01")
async def test_a_service_outlives_errors_and_its_server(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(SERVICE, encoding="utf-8")
    words = ("-m", "aiosched", "run", "service:scheduler", "--log-level", "error")
    with servers.Server(servers.binaries()[-1]) as server:
        url = server.url
        async with Program(*words, folder=tmp_path, REDIS_URL=url) as program:
            await program.says("the job has run", 3)
            server.kill()
            server.restart()
            before = program.said.count("the job has run")
            await program.says("the job has run", before + 3)
            program.signal(signal.SIGTERM)
            assert await program.end() == 0


# --- S1-25: it sleeps until something is due -----------------------------------


@pytest.mark.seed("S1-25")
@pytest.mark.virtual(timeout=100_000)
async def test_run_forever_sleeps_and_hears_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = redis_model.Server(loop().wall)
    said: list[float] = []
    feed = redis_model.Connection.feed

    def counted(connection: redis_model.Connection, data: bytes) -> bytes:
        said.append(now())
        return feed(connection, data)

    monkeypatch.setattr(redis_model.Connection, "feed", counted)
    store = RedisJobStore("redis://model", connection_factory=factory(server))
    async with World(store) as world:
        service = world.build("service")
        forever = loop().spawn("service", service.run_forever())
        client = await world.peer("client", run_jobs=False)
        await asyncio.sleep(30)
        assert not forever.done()
        said.clear()
        await asyncio.sleep(60)
        beats = 60 / 5 * len(world.peers)
        assert len(said) <= 4 * beats, "an idle peer beats, and asks for nothing else"
        asked = now()
        job = await client.schedule(Job("work", id="now"))
        await client.result(job, timeout=5)
        assert world.begun(job)[0] - asked < 0.05
        await service.shutdown()
        await forever


# --- S1-03, S1-28: side by side, and measured ----------------------------------


@pytest.mark.seed("S1-03", "S1-28")
@pytest.mark.parametrize("how", ["coroutines", "in threads"])
async def test_jobs_that_are_due_together_run_together(stage: Stage, how: str) -> None:
    """All of them have to be inside at the same time, or none gets out."""
    count = 20
    together, inside = threading.Barrier(count), asyncio.Barrier(count)

    async def coroutine(context: Context) -> int:
        return await inside.wait() * 0 + 1

    def function(context: Context) -> int:
        return together.wait(20) * 0 + 1

    async with stage:
        client, worker = await stage.two()
        meet = coroutine if how == "coroutines" else function
        worker.register(meet, name="meet")
        client.register(meet, name="meet")
        jobs = [Job("meet", id=f"j{n}") for n in range(count)]
        await client.schedule_many(jobs)
        results = [await client.result(job, timeout=20) for job in jobs]
        assert results == [1] * count


@pytest.mark.seed("S1-28")
async def test_as_many_as_the_limit_run_together_and_no_more(stage: Stage) -> None:
    inside: Counter[str] = Counter()
    most: list[int] = []
    full = asyncio.Event()

    async def work(context: Context) -> None:
        inside["now"] += 1
        most.append(inside["now"])
        if inside["now"] == 3:
            full.set()
        await full.wait()
        inside["now"] -= 1

    async with stage:
        worker = stage.build("worker", max_concurrency=3)
        worker.register(work, name="work")
        await worker.start()
        jobs = [Job("work", id=f"j{n}") for n in range(30)]
        await worker.schedule_many(jobs)
        for job in jobs:
            await worker.result(job, timeout=20)
        assert max(most) == 3


@pytest.mark.seed("S1-03")
async def test_a_slow_job_delays_no_other(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        slow = await client.schedule(Job("hold", id="slow"))
        await stage.begun(slow)
        fast = await client.schedule(
            Job("note", id="fast", trigger=IntervalTrigger(milliseconds=50))
        )
        await stage.begun(fast, 5)
        assert not stage.of(slow)[0].ended
        stage.gate.set()
        assert await client.result(slow, timeout=10) == "held"


# --- S1-32: many workers, one schedule -----------------------------------------


@pytest.mark.seed("S1-32")
async def test_five_workers_share_a_hundred_ticks(stage: Stage) -> None:
    async with stage:
        workers = [await stage.peer() for _ in range(5)]
        trigger = IntervalTrigger(milliseconds=20)
        options: dict[str, Any] = {"coalesce": "all", "overlap": "queue", "keep": 60}
        job = await workers[0].schedule(
            Job("note", id="tick", trigger=trigger, max_runs=100, **options)
        )

        async def finished() -> bool:
            return await workers[0].state(job) == "finished"

        await wait_until(finished, "a hundred ticks", timeout=30)
        slots = Counter(ran.key for ran in stage.of(job))
        assert len(slots) == 100
        assert set(slots.values()) == {1}, "no occurrence twice"


@pytest.mark.seed("S1-32")
async def test_workers_that_wake_at_one_instant(stage: Stage) -> None:
    """Five declare the same job for the same instant; it runs once."""
    async with stage:
        peers = [stage.build() for _ in range(5)]
        for peer in peers:
            peer.declare(Job("note", id="once", when=timedelta(seconds=0.3), keep=60))
        await asyncio.gather(*(peer.start() for peer in peers))
        for peer in peers:
            await peer.wait("once", timeout=10)
        assert len(stage.of("once")) == 1
