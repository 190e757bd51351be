"""``start_job``: by hand, in any state, under the overlap rule of the cluster."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from aiosched import (
    AlreadyRunningError,
    Cause,
    DateTrigger,
    Firing,
    IntervalTrigger,
    Job,
    JobState,
    Outcome,
    Reason,
    TooManyWaitingError,
)
from tests.engine.kit import World, adds_up, at

pytestmark = pytest.mark.virtual(timeout=100_000)


def asked_for(**options: object) -> Job:
    """Return a job that runs for five seconds whenever somebody asks."""
    fields = {"id": "a", "keyword": "k", "kwargs": {"seconds": 5}, **options}
    return Job("work", **fields)  # type: ignore[arg-type]


async def test_a_start_runs_now_without_moving_the_slots() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(
            Job("work", id="a", trigger=DateTrigger(at(50)), keyword=None)
        )
        await asyncio.sleep(3)
        firing = await p1.start_job("a")
        assert (firing.cause, firing.fire_time) == (Cause.MANUAL, at(3))
        await p1.wait(firing, timeout=1)
        job = await p0.get_job("a")
        assert job.next_fire_time == at(50)
        await asyncio.sleep(60)
        assert world.begun("a") == [3.0, 50.0]


async def test_a_paused_job_starts_by_hand_and_stays_paused() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=IntervalTrigger(seconds=1)))
        await p0.pause("a")
        world.runs.clear()
        await p0.wait(await p0.start_job("a"), timeout=1)
        await asyncio.sleep(10)
        assert len(world.runs) == 1
        assert (await p0.get_job("a")).state is JobState.PAUSED


async def test_a_finished_job_that_is_kept_starts_by_hand() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(Job("work", id="a"))
        await p0.wait("a")
        assert not await p0.job_exists("a")
        firing = await p1.start_job("a")
        await p1.wait(firing, timeout=1)
        assert len(world.runs) == 2
        assert await p0.state("a") is JobState.FINISHED


async def test_skip_refuses_a_start_while_the_job_runs_elsewhere() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await world.peer("p1")
        await client.schedule(asked_for())
        first = await client.start_job("a")
        with pytest.raises(AlreadyRunningError):
            await client.start_job("a")
        await asyncio.sleep(1)
        with pytest.raises(AlreadyRunningError):
            await client.start_job("a")
        await client.wait(first)
        await client.wait(await client.start_job("a"))
        assert len(world.runs) == 2


async def test_queue_runs_starts_one_after_the_other() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(asked_for(overlap="queue"))
        firings = [await peer.start_job("a") for peer in (p0, p1, p0)]
        for firing in firings:
            await p0.wait(firing)
        assert world.begun("a") == [0.0, 5.0, 10.0]
        assert [ran.key for ran in world.of("a")] == [f.key for f in firings]


async def test_allow_runs_up_to_max_running_at_a_time() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(asked_for(overlap="allow", max_running=2))
        firings = [await peer.start_job("a") for peer in (p0, p1, p0, p1)]
        await asyncio.gather(*(p0.wait(firing) for firing in firings))
        assert world.begun("a") == [0.0, 0.0, 5.0, 5.0]


async def test_cancel_previous_replaces_the_run_wherever_it_is() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await world.peer("p1")
        await world.peer("p2")
        await client.schedule(asked_for(overlap="cancel_previous"))
        first = await client.start_job("a")
        await asyncio.sleep(2)
        second = await client.start_job("a")
        run = await client.wait(first, timeout=1)
        assert (run.outcome, run.reason) == (Outcome.CANCELLED, Reason.REPLACED)
        assert (await client.wait(second)).outcome is Outcome.SUCCEEDED
        assert world.begun("a") == [0.0, 2.0]


@pytest.mark.parametrize("running_already", [False, True])
async def test_of_a_thousand_starts_from_three_peers_one_wins(
    *,
    running_already: bool,
) -> None:
    async with World() as world:
        peers = [await world.peer(f"p{n}") for n in range(3)]
        await peers[0].schedule(asked_for())
        if running_already:
            await peers[0].start_job("a")
            await asyncio.sleep(1)
        answers = await asyncio.gather(
            *(peers[n % 3].start_job("a") for n in range(1000)),
            return_exceptions=True,
        )
        kinds = Counter(type(answer) for answer in answers)
        winners = 0 if running_already else 1
        assert kinds[Firing] == winners
        assert kinds[AlreadyRunningError] == 1000 - winners
        await asyncio.sleep(20)
        assert len(world.runs) == 1
        adds_up(await peers[0].get_job("a"))


async def test_a_start_beyond_the_waiting_list_is_refused() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(asked_for(overlap="queue"))
        await p0.start_job("a")
        await asyncio.sleep(1)
        for _ in range(100):
            await p0.start_job("a")
        with pytest.raises(TooManyWaitingError):
            await p0.start_job("a")
        await asyncio.sleep(600)
        job = await p0.get_job("a")
        assert (len(world.runs), job.counts.asked, job.counts.succeeded) == (101,) * 3
