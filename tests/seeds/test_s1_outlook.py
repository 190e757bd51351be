"""What is to come next, of one job, of a tag, of all: S1-P12."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from aiosched import IntervalTrigger, Job
from tests.engine.kit import World, at
from tests.seeds.stage import Stage


@pytest.mark.seed("S1-P12")
@pytest.mark.virtual(timeout=100_000)
async def test_idle_seconds_are_ahead_late_or_none() -> None:
    """``next_run`` of the row is ``next_fire_time`` here.

    A clock jump is virtual time that passes while no peer can run anything.
    """
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        assert await client.idle_seconds() is None
        assert await client.next_fire_time() is None
        trigger = IntervalTrigger(seconds=60)
        await client.schedule(
            Job("work", id="a", trigger=trigger, tags=["friend"]), allow_unknown=True
        )
        await client.schedule(
            Job("work", id="b", trigger=IntervalTrigger(seconds=500)),
            allow_unknown=True,
        )
        assert await client.idle_seconds() == 60
        assert await client.next_fire_time() == at(60)
        assert await client.next_fire_time("b") == at(500)
        assert await client.idle_seconds(tag="friend") == 60
        assert await client.idle_seconds(tag="foe") is None
        await asyncio.sleep(75)
        assert await client.idle_seconds() == -15
        assert await client.next_fire_time() == at(60)
        await world.peer("worker")
        await asyncio.sleep(1)
        assert world.begun("a") == [75.0]
        assert await client.idle_seconds() == 120 - 76
        await client.remove_job("a")
        assert await client.next_fire_time() == at(500)
        await client.remove_job("b")
        assert await client.idle_seconds() is None


@pytest.mark.seed("S1-P12")
async def test_the_three_meanings_hold_on_every_store(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        assert await client.idle_seconds() is None
        job = await client.schedule(
            Job("note", id="a", trigger=IntervalTrigger(hours=1))
        )
        idle = await client.idle_seconds()
        assert idle is not None
        assert 3_500 < idle <= 3_600
        assert await client.next_fire_time(job) == job.next_fire_time
        [preview] = await client.preview(job, 1)
        assert preview.due == job.next_fire_time
        assert preview.due - timedelta(hours=1) == job.created_at
        await client.remove_job("a")
        assert await client.idle_seconds() is None
