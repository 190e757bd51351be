"""``fire_job``: stored, to every subscriber, once each, within its time to live."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aiosched import (
    ArgumentsError,
    Cause,
    Context,
    Job,
    Outcome,
    RunExpiredError,
    Scheduler,
    TooManyWaitingError,
)
from tests.engine.kit import World, adds_up, after, at

pytestmark = pytest.mark.virtual(timeout=100_000)

Note = Callable[..., Awaitable[Any]]


def give_greeter(peer: Scheduler, said: list[Any]) -> None:
    async def greet(context: Context, name: str, *, loud: bool = False) -> str:
        said.append((name, loud, context.payload, context.keyword, context.cause))
        return name.upper() if loud else name

    peer.register(greet, name="greet")


async def test_a_fire_reaches_every_subscriber_once() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        for n in range(3):
            await world.peer(f"p{n}")
        jobs = [Job("work", id=f"j{n:02}", keyword="k") for n in range(40)]
        await client.schedule_many([*jobs, Job("work", id="other", keyword="else")])
        firings = await client.fire_job("k", {"value": 9})
        assert [firing.job_id for firing in firings] == [job.id for job in jobs]
        assert await asyncio.gather(*map(client.result, firings)) == [9] * 40
        assert len(world.runs) == 40


async def test_a_fire_that_nobody_hears_is_empty() -> None:
    async with World() as world:
        p0 = await world.peer()
        assert await p0.fire_job("silence") == []


async def test_the_payload_brings_arguments_and_wins() -> None:
    async with World() as world:
        p0, said = world.build("p0"), list[Any]()
        give_greeter(p0, said)
        await world.start(p0)
        await p0.schedule(Job("greet", id="a", keyword="k", kwargs={"loud": False}))
        (firing,) = await p0.fire_job("k", {"name": "ann", "loud": True})
        assert await p0.result(firing) == "ANN"
        payload = {"name": "ann", "loud": True}
        assert said == [("ann", True, payload, "k", Cause.KEYWORD)]


async def test_a_payload_that_fits_not_every_subscriber_fires_none() -> None:
    async with World() as world:
        p0 = world.build("p0")
        give_greeter(p0, [])
        await world.start(p0)
        await p0.schedule(Job("work", id="a", keyword="k"))
        await p0.schedule(Job("greet", id="b", keyword="k"))
        with pytest.raises(ArgumentsError):
            await p0.fire_job("k", {"value": 1})
        await asyncio.sleep(10)
        assert not world.runs


async def test_a_client_checks_payloads_by_what_it_registered() -> None:
    async with World() as world:
        p0 = world.build("p0")
        give_greeter(p0, [])
        await world.start(p0)
        client = world.build("client", run_jobs=False)
        give_greeter(client, [])
        await world.start(client)
        await client.schedule(Job("greet", id="b", keyword="k"))
        with pytest.raises(ArgumentsError) as caught:
            await client.fire_job("k", {"name": ["not", "text"]})
        assert "name" in caught.value.field


async def test_a_fire_waits_until_a_capable_peer_comes() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        client = await world.peer("client", run_jobs=False)
        await client.schedule(Job("work", id="a", keyword="k"))
        await p0.shutdown()
        (firing,) = await client.fire_job("k", {"value": 3})
        await asyncio.sleep(1000)
        assert not world.runs
        await world.peer("p1")
        assert await client.result(firing, timeout=1) == 3
        assert world.begun("a") == [1000.0]


async def test_a_fire_outlives_every_peer_and_every_client() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="a", keyword="k"))
        world.crash("p0")
        client = await world.peer("client", run_jobs=False)
        await client.fire_job("k", fire_id="f1")
        world.crash("client")
        await asyncio.sleep(100)
        await world.peer("p1")
        await asyncio.sleep(1)
        assert [(ran.at, ran.key) for ran in world.runs] == [(100.0, "f1")]


async def test_a_fire_that_is_not_started_in_time_expires() -> None:
    async with World() as world:
        client = world.build("client", run_jobs=False)
        await world.start(client)
        await client.schedule(Job("work", id="a", keyword="k"))
        (firing,) = await client.fire_job("k", ttl=30)
        (kept,) = await client.fire_job("k", ttl=after(600))
        await asyncio.sleep(100)
        await world.peer("p1")
        with pytest.raises(RunExpiredError) as caught:
            await client.result(firing, timeout=1)
        assert caught.value.run.attempt == 0
        await client.wait(kept, timeout=1)
        assert len(world.runs) == 1
        job = await client.get_job("a")
        assert (job.counts.asked, job.counts.expired, job.counts.succeeded) == (2, 1, 1)


async def test_an_expiry_is_settled_by_peers_that_cannot_run_the_job() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        await world.peer("p1", work=False)
        await client.schedule(Job("work", id="a", keyword="k"))
        (firing,) = await client.fire_job("k", ttl=30)
        run = await client.wait(firing, timeout=31)
        assert (run.outcome, run.ended_at) == (Outcome.EXPIRED, at(30))


async def test_the_same_fire_id_fires_once() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(Job("work", id="a", keyword="k", kwargs={"seconds": 2}))
        fires = [peer.fire_job("k", fire_id="order-7") for peer in (p0, p1) * 50]
        answers = await asyncio.gather(*fires)
        await asyncio.sleep(10)
        again = await p1.fire_job("k", fire_id="order-7")
        await asyncio.sleep(10)
        assert len(world.runs) == 1
        assert {firing for answer in answers for firing in answer} == set(again)


async def test_fires_carry_data_and_wait_under_skip() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", keyword="k", kwargs={"seconds": 5}))
        firings = [(await p0.fire_job("k", {"value": n}))[0] for n in range(4)]
        assert [await p0.result(firing) for firing in firings] == [0, 1, 2, 3]
        assert world.begun("a") == [0.0, 5.0, 10.0, 15.0]


async def test_a_fire_of_a_paused_job_waits_for_resume() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", keyword="k", paused=True))
        (firing,) = await p0.fire_job("k")
        await asyncio.sleep(50)
        assert not world.runs
        await p0.resume("a")
        await p0.wait(firing, timeout=1)
        assert world.begun("a") == [50.0]


async def test_a_flood_beyond_the_waiting_list_is_refused() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", keyword="k", kwargs={"seconds": 1}))
        await p0.fire_job("k")
        await asyncio.sleep(0.5)
        for _ in range(100):
            await p0.fire_job("k")
        with pytest.raises(TooManyWaitingError):
            await p0.fire_job("k")
        await asyncio.sleep(200)
        job = await p0.get_job("a")
        assert job.counts.succeeded == 101
        adds_up(job)


async def test_a_job_may_have_a_keyword_beside_its_trigger() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", keyword="k", when=after(60)))
        await asyncio.sleep(5)
        await p0.fire_job("k")
        await asyncio.sleep(100)
        assert world.begun("a") == [5.0, 60.0]


async def test_a_job_that_changes_its_keyword_hears_the_new_one() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(Job("work", id="a", keyword="old"))
        await p1.modify("a", keyword="new")
        assert await p0.fire_job("old") == []
        (firing,) = await p0.fire_job("new")
        await p0.wait(firing, timeout=1)


@pytest.mark.parametrize("how", ["removed", "another keyword"])
async def test_who_listens_no_more_when_it_is_fired_is_not_among_the_fired(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record is there, because a run of it goes on, and takes no fire."""
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        p0 = await world.peer("p0")
        options = {"kwargs": {"seconds": 60}, "overlap": "allow", "max_running": 2}
        for job_id in ("gone", "stays"):
            await p0.schedule(Job("work", id=job_id, keyword="k", **options))
        await client.fire_job("k", fire_id="first")
        await asyncio.sleep(1)
        found = client._subscribers

        async def overtaken(keyword: str, ids: Any) -> Any:
            records = await found(keyword, ids)
            if how == "removed":
                await p0.remove_job("gone")
            else:
                await p0.modify("gone", keyword="else")
            return records

        monkeypatch.setattr(client, "_subscribers", overtaken)
        assert [one.job_id for one in await client.fire_job("k")] == ["stays"]
        monkeypatch.undo()
        again = await client.fire_job("k", fire_id="first")
        assert [one.job_id for one in again] == ["stays"]
        await asyncio.sleep(100)
        assert len(world.of("gone")) == 1
        assert len(world.of("stays")) == 2
