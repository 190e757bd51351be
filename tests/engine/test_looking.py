"""``get_job``, ``get_jobs``, ``history``, ``peers``, ``running``, ``health``."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from aiosched import (
    ConfigurationError,
    IntervalTrigger,
    Job,
    JobNotFoundError,
    JobState,
    Outcome,
)
from aiosched.enums import RowKind
from tests.engine.kit import World, adds_up, after, at

pytestmark = pytest.mark.virtual(timeout=100_000)


async def test_a_snapshot_tells_what_the_store_knows() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        trigger = IntervalTrigger(seconds=10)
        await p0.schedule(Job("work", id="a", trigger=trigger, kwargs={"seconds": 2}))
        await asyncio.sleep(31)
        job = await p1.get_job("a")
        assert (job.version, job.state, job.running) == (1, JobState.ACTIVE, 1)
        assert job.next_fire_time == at(40)
        assert job.last_fire_time == at(30)
        assert (job.last_outcome, job.created_at) == (Outcome.SUCCEEDED, at(0))
        assert [run.fire_time for run in job.recent] == [at(20), at(10)]
        adds_up(job)
        assert await p1.get_job(job) == job


async def test_job_exists_takes_an_id_or_a_job() -> None:
    async with World() as world:
        p0 = await world.peer()
        job = Job("work", when=after(10))
        assert not await p0.job_exists(job)
        await p0.schedule(job)
        assert await p0.job_exists(job)
        assert await p0.job_exists(job.id)
        await asyncio.sleep(11)
        assert not await p0.job_exists(job)


async def test_states_are_told_apart() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="active", when=after(10)))
        await p0.schedule(Job("work", id="paused", when=after(10), paused=True))
        await p0.schedule(Job("work", id="finished"))
        await p0.schedule(Job("work", id="removed", when=after(10)))
        await p0.remove_job("removed")
        await asyncio.sleep(1)
        for name in ("active", "paused", "finished", "removed"):
            assert await p0.state(name) is JobState(name)
        assert await p0.state("never seen") is JobState.UNKNOWN
        assert [job.id for job in await p0.get_jobs()] in (
            ["active", "paused"],
            ["paused", "active"],
        )
        assert [job.id for job in await p0.get_jobs(state="finished")] == ["finished"]


async def test_get_jobs_filters_by_every_field_given() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor
        async def other() -> None:
            """Does nothing."""

        await world.start(p0)
        await p0.schedule(Job("work", id="a", when=after(9), tags=("x", "y")))
        await p0.schedule(Job("work", id="b", keyword="k", tags=("x",)))
        await p0.schedule(Job("other", id="c", when=after(9), queue="q", paused=True))

        async def found(**filters: str) -> set[str]:
            return {job.id for job in await p0.get_jobs(**filters)}  # type: ignore[arg-type]

        assert await found() == {"a", "b", "c"}
        assert await found(tag="x") == {"a", "b"}
        assert await found(tag="x", keyword="k") == {"b"}
        assert await found(executor="other") == {"c"}
        assert await found(state="paused") == {"c"}
        assert await found(queue="q") == {"c"}
        assert await found(tag="z") == set()
        with pytest.raises(ConfigurationError, match="state"):
            await p0.get_jobs(state="dead")
        with pytest.raises(ConfigurationError, match="limit"):
            await p0.get_jobs(limit=0)


async def test_pages_lead_to_every_job_once() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        ids = [f"j{n}" for n in range(523)]
        await p0.schedule_many([Job("work", id=name, when=after(99)) for name in ids])
        seen: list[str] = []
        cursor: str | None = None
        pages = 0
        while True:
            page = await p1.get_jobs(limit=50, cursor=cursor)
            seen += [job.id for job in page]
            pages, cursor = pages + 1, page.cursor
            if cursor is None:
                break
        assert sorted(seen) == sorted(ids)
        assert pages >= 523 // 100


async def test_history_is_newest_first_and_bounded() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        trigger = IntervalTrigger(seconds=10)
        await p0.schedule(Job("work", id="a", trigger=trigger))
        await p0.schedule(Job("work", id="b", trigger=trigger))
        await asyncio.sleep(55)
        entries = await p1.history("a")
        assert [e.kind for e in entries] == [RowKind.SUCCEEDED] * 5 + [RowKind.CREATED]
        assert entries == sorted(entries, key=lambda entry: entry.at, reverse=True)
        assert {entry.peer for entry in entries[:-1]} <= {p0.id, p1.id}
        both = await p1.history()
        assert {entry.job_id for entry in both} == {"a", "b"}
        assert len(both) == 12
        assert len(await p1.history(limit=3)) == 3
        some = await p1.history("a", since=at(20), until=at(30))
        assert [entry.first for entry in some] == [at(30), at(20)]
        with pytest.raises(ConfigurationError, match="naive"):
            await p1.history(since=datetime(2024, 1, 1))  # noqa: DTZ001


async def test_running_lists_the_runs_of_every_peer() -> None:
    async with World() as world:
        client = await world.peer("client", run_jobs=False)
        for n in range(3):
            await world.peer(f"p{n}")
        await asyncio.sleep(6)
        jobs = [Job("work", id=f"j{n:02}", kwargs={"seconds": 9}) for n in range(30)]
        await client.schedule_many(jobs)
        await asyncio.sleep(1)
        running = await client.running()
        assert [run.job_id for run in running] == [job.id for job in jobs]
        assert len({run.peer for run in running}) == 3
        assert {run.attempt for run in running} == {1}
        assert not any(run.cancelling for run in running)
        await asyncio.sleep(10)
        assert await client.running() == []


async def test_peers_are_described() -> None:
    async with World() as world:
        p0 = await world.peer("p0", queues=["fast"])
        await world.peer("client", run_jobs=False)
        await asyncio.sleep(6)
        found = {peer.name: peer for peer in await p0.peers()}
        assert found.keys() == {"p0", "client"}
        assert (found["p0"].me, found["p0"].claims) == (True, True)
        assert found["p0"].queues == ("fast",)
        assert found["p0"].executors == ("work",)
        assert (found["client"].me, found["client"].claims) == (False, False)
        assert found["p0"].id == p0.id


async def test_a_dead_peer_is_forgotten_after_the_member_timeout() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        await world.peer("p1")
        await asyncio.sleep(6)
        world.crash("p1")
        await asyncio.sleep(21)
        assert [peer.name for peer in await p0.peers()] == ["p0"]


async def test_health_is_green_only_between_start_and_end() -> None:
    async with World() as world:
        p0 = world.build("p0")
        assert not p0.health().ok
        await world.start(p0)
        await p0.schedule(Job("work", kwargs={"seconds": 9}))
        await asyncio.sleep(1)
        health = p0.health()
        assert (health.ok, health.started, health.store, health.lapsed) == (
            True,
            True,
            True,
            False,
        )
        assert health.running == 1
        assert set(health.services.values()) == {"ok"}
        await asyncio.sleep(10_000)
        assert p0.health().ok
        await p0.shutdown()
        assert not p0.health().ok


async def test_a_read_of_a_job_that_is_gone_writes_nothing() -> None:
    async with World() as world:
        p0 = await world.peer()
        assert p0._session is not None
        before = p0._session.counters.transactions
        with pytest.raises(JobNotFoundError):
            await p0.get_job("gone")
        await p0.get_jobs()
        await p0.history("gone")
        await p0.running()
        assert p0._session.counters.transactions == before
