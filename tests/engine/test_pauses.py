"""Pauses with an end, of which nobody hears in time."""

from __future__ import annotations

import asyncio

import pytest

from aiosched import IntervalTrigger, Job
from tests.engine.kit import World, adds_up, at, loop

pytestmark = pytest.mark.virtual(timeout=100_000)


async def test_the_slots_after_the_end_of_a_pause_are_not_lost_to_it() -> None:
    """Nobody lives when it ends; the next to come runs what it would have run."""
    async with World() as world:
        p0 = await world.peer("p0")
        minutes = IntervalTrigger(seconds=60)
        await p0.schedule(Job("work", id="held", trigger=minutes))
        await p0.schedule(Job("work", id="free", trigger=minutes))
        await p0.pause("held", until=100.0)
        before = [coming.due for coming in await p0.preview("held", 2)]
        assert before == [at(120), at(180)]
        await asyncio.sleep(50)
        await p0.shutdown()
        await asyncio.sleep(80)
        client = await world.peer("client", run_jobs=False)
        assert "will pass over" not in await client.why("held", at(120))
        assert await client.why("held", at(60)) == (
            "Job 'held' has passed over its slot of 2024-01-01 00:01:00 UTC, because "
            "it was paused at 2024-01-01 00:00:00 UTC by p0 until 2024-01-01 00:01:40 "
            "UTC."
        )
        await world.peer("p1")
        await asyncio.sleep(20)
        assert [(r.at, r.fire_time, r.missed) for r in world.of("held")] == [
            (130.0, 120.0, 0)
        ]
        assert [(r.at, r.fire_time) for r in world.of("free")] == [(130.0, 120.0)]
        job = await client.get_job("held")
        assert (job.counts.paused, job.counts.fired) == (1, 1)
        adds_up(job)
        (resumed,) = await client.history("held", kind="resumed")
        assert (resumed.at, resumed.by) == (at(130), "")
        assert await client.why("held", at(60)) == (
            "Job 'held' passed over its slot of 2024-01-01 00:01:00 UTC, because the "
            "job was paused at 2024-01-01 00:00:00 UTC by p0 until 2024-01-01 00:01:40 "
            "UTC."
        )
        assert "paused" not in await client.why("held", at(120))


async def test_a_peer_that_stands_still_over_the_end_of_a_pause_loses_nothing() -> None:
    async with World() as world:
        peers = [await world.peer(f"p{n}") for n in range(2)]
        await asyncio.sleep(6)
        ids = [f"j{n}" for n in range(8)]
        for job_id in ids:
            hourly = IntervalTrigger(seconds=3600, start=at(104))
            await peers[0].schedule(Job("work", id=job_id, trigger=hourly))
            await peers[0].pause(job_id, until=at(100))
        await asyncio.sleep(91)
        for peer in peers:
            loop().stall(peer.name, 10)
        await asyncio.sleep(60)
        assert {tuple(world.begun(job_id)) for job_id in ids} == {(107.0,)}
