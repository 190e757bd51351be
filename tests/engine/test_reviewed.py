"""What a reader who did not write the engine found; each a guard since."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from aiosched import (
    DateTrigger,
    Firing,
    IntervalTrigger,
    Job,
    JobNotFoundError,
    MemoryJobStore,
    Outcome,
    Run,
    Scheduler,
)
from aiosched.stores.space import Space
from tests.engine.kit import at, now


async def _work(seconds: float = 0) -> None:
    await asyncio.sleep(seconds)


@pytest.mark.virtual
@pytest.mark.parametrize("foreign", [1, 50, 99, 100, 300])
async def test_jobs_behind_many_that_nobody_can_run_are_run(foreign: int) -> None:
    store, terms = MemoryJobStore(), {"shards": 1}
    async with Scheduler(store, run_jobs=False, terms=terms) as client:
        for name, count in (("ghost", foreign), ("_work", 150)):
            await client.schedule_many(
                [Job(name, id=f"{name}{n:03}") for n in range(count)],
                allow_unknown=True,
            )
            await asyncio.sleep(1)
    ended: list[Run] = []
    scheduler = Scheduler(store, terms=terms)
    scheduler.register(_work)
    async with scheduler:
        scheduler.add_done_callback(ended.append)
        await asyncio.sleep(30)
        wakes = scheduler._engine.timer.wake_ups  # type: ignore[union-attr]
        await asyncio.sleep(60)
        assert scheduler._engine.timer.wake_ups - wakes < 20  # type: ignore[union-attr]
    assert len(ended) == 150


@pytest.mark.virtual
async def test_a_lost_completion_is_found_although_others_come_each_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tell = Space.tell

    def forgetful(self: Space, number: int, signal: Any) -> None:
        if signal.kind != "done" or "lost" not in signal.ids:
            tell(self, number, signal)

    monkeypatch.setattr(Space, "tell", forgetful)
    store = MemoryJobStore()
    worker, client = Scheduler(store), Scheduler(store, run_jobs=False)
    worker.register(_work)
    client.register(_work)
    async with worker, client:
        every_second = IntervalTrigger(seconds=1)
        await client.schedule(Job("_work", id="busy", trigger=every_second))
        client.add_done_callback(lambda _: None, "busy")
        job = await client.schedule(Job("_work", (3,), id="lost"))
        began = now()
        run = await client.wait(job, timeout=60)
        assert run.outcome is Outcome.SUCCEEDED
        assert now() - began <= 3 + 5 + 0.1


@pytest.mark.virtual
async def test_an_outcome_a_thousand_rows_back_is_found() -> None:
    scheduler = Scheduler()
    scheduler.register(_work)
    async with scheduler:
        await scheduler.schedule(
            Job("_work", id="k", keyword="word", overlap="allow", max_running=50)
        )
        firings = []
        for _ in range(1100):
            firings += await scheduler.fire_job("word")
            await asyncio.sleep(0.01)
        await scheduler.drain()
        assert (await scheduler.wait(firings[0], timeout=60)).firing == firings[0]


@pytest.mark.virtual
async def test_waiting_for_what_can_no_longer_come_ends() -> None:
    scheduler = Scheduler()
    scheduler.register(_work)
    async with scheduler:
        hourly = IntervalTrigger(hours=1)
        job = await scheduler.schedule(Job("_work", id="x", trigger=hourly))
        waiting = asyncio.ensure_future(scheduler.wait("x"))
        await asyncio.sleep(1)
        await scheduler.remove_job("x")
        with pytest.raises(JobNotFoundError):
            await asyncio.wait_for(waiting, 60)
        await scheduler.schedule(Job("_work", id="y", keyword="word"))
        [fired] = await scheduler.fire_job("word")
        stranger = Firing("y", "nobody-fired-this", fired.cause, fired.fire_time)
        with pytest.raises(JobNotFoundError):
            await scheduler.wait(stranger, timeout=60)
        assert job.id == "x"


@pytest.mark.virtual
async def test_waiting_after_a_stop_tells_how_the_run_ended() -> None:
    scheduler = Scheduler()
    scheduler.register(_work)
    async with scheduler:
        job = await scheduler.schedule(Job("_work", (600,)))
        await asyncio.sleep(1)
        await scheduler.stop_job(job)
        await asyncio.sleep(1)
        assert (await scheduler.wait(job, timeout=5)).outcome is Outcome.CANCELLED


@pytest.mark.virtual
async def test_a_job_that_runs_again_is_heard_of_again() -> None:
    heard: list[Run] = []
    scheduler = Scheduler()
    scheduler.register(_work)
    async with scheduler:
        scheduler.add_done_callback(heard.append)
        job = Job("_work", id="x", trigger=DateTrigger(at(2)))
        await scheduler.schedule(job)
        await asyncio.sleep(20)
        await scheduler.schedule(job, again=True)
        await asyncio.sleep(20)
    assert [run.key for run in heard] == [heard[0].key] * 2


@pytest.mark.virtual
async def test_a_delay_is_kept_through_every_boot() -> None:
    store = MemoryJobStore()
    for _ in range(3):
        scheduler = Scheduler(store)
        scheduler.register(_work)
        async with scheduler:
            delayed = Job("_work", id="later", when=timedelta(minutes=5))
            stored = await scheduler.schedule(delayed)
            assert stored.next_fire_time == at(300)
            await asyncio.sleep(60)
