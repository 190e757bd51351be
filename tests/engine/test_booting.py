"""Registering at every boot: no-ops, conflicts, revisions, tombstones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import (
    ConfigurationError,
    DateTrigger,
    IntervalTrigger,
    Job,
    JobNotFoundError,
    JobState,
    Outcome,
    Scheduler,
    SchedulerStateError,
)
from tests.engine.kit import World, adds_up, after, at, now

pytestmark = pytest.mark.virtual(timeout=10_000_000)

DAY = 86_400


def declare_all(scheduler: Scheduler, **options: Any) -> None:
    tick = {"trigger": IntervalTrigger(seconds=10), **options}
    scheduler.declare(Job("work", id="tick", **tick))
    scheduler.declare(Job("work", id="once"))
    scheduler.declare(Job("work", id="later", trigger=DateTrigger(at(25))))
    scheduler.declare(Job("work", id="word", keyword="k"))


async def test_ten_peers_that_boot_at_once_leave_one_of_each() -> None:
    async with World() as world:
        peers = [world.build(f"p{n}") for n in range(10)]
        for peer in peers:
            declare_all(peer)
        await asyncio.gather(*map(world.start, peers))
        assert sorted(job.id for job in await peers[3].get_jobs()) in (
            ["later", "once", "tick", "word"],
            ["later", "tick", "word"],
        )
        assert len(await peers[0].peers()) == 10
        await asyncio.sleep(60.5)
        assert world.begun("tick") == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
        assert world.begun("once") == [0.0]
        assert world.begun("later") == [25.0]
        firings = await peers[5].fire_job("k")
        await peers[5].wait(firings[0])
        assert len(firings) == len(world.of("word")) == 1
        assert (await peers[0].get_job("tick")).version == 1


async def test_each_boot_keeps_the_due_slot() -> None:
    async with World() as world:
        for n in range(20):
            peer = world.build(f"p{n}")
            declare_all(peer)
            await world.start(peer)
            await asyncio.sleep(3.3)
            await peer.shutdown()
        last = world.build("last")
        declare_all(last)
        await world.start(last)
        await asyncio.sleep(0.5)
        assert [ran.fire_time for ran in world.of("tick")] == [10.0, 20, 30, 40, 50, 60]
        assert len(world.of("once")) == len(world.of("later")) == 1


async def test_a_declared_job_that_changed_replaces_the_stored_one() -> None:
    async with World() as world:
        old, new = world.build("old"), world.build("new")
        declare_all(old, note="old")
        declare_all(new, note="new")
        await world.start(old)
        before = await old.get_job("tick")
        await world.start(new)
        job = await old.get_job("tick")
        assert (job.note, job.version) == ("new", 2)
        assert job.next_fire_time == before.next_fire_time


async def test_a_lower_revision_does_not_replace_a_higher() -> None:
    async with World() as world:
        for revision, note, wanted in (
            (2, "two", "two"),
            (1, "one", "two"),
            (3, "three", "three"),
            (3, "again", "again"),
        ):
            peer = world.build(f"{note}", revision=revision)
            declare_all(peer, note=note)
            await world.start(peer)
            assert (await peer.get_job("tick")).note == wanted


async def test_a_paused_job_stays_paused_at_the_next_boot() -> None:
    async with World() as world:
        first = world.build("first")
        declare_all(first)
        await world.start(first)
        await first.pause("tick", note="incident")
        await first.shutdown()
        second = world.build("second")
        declare_all(second)
        await world.start(second)
        await asyncio.sleep(50)
        job = await second.get_job("tick")
        assert (job.state, job.pause_note) == (JobState.PAUSED, "incident")
        assert not world.of("tick")


async def test_declaring_is_for_before_the_start_and_for_named_jobs() -> None:
    async with World() as world:
        p0 = world.build("p0")
        with pytest.raises(ConfigurationError, match="drawn"):
            p0.declare(Job("work", trigger=IntervalTrigger(seconds=1)))
        p0.declare(Job("work", id="a", keyword="k"))
        p0.declare(Job("work", id="a", keyword="k"))
        with pytest.raises(ConfigurationError, match="twice"):
            p0.declare(Job("work", id="a", keyword="other"))
        await world.start(p0)
        with pytest.raises(SchedulerStateError, match="before the start"):
            p0.declare(Job("work", id="b", keyword="k"))


async def test_the_job_decorator_registers_and_declares() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.job(IntervalTrigger(seconds=5), tags=("beat",))
        async def pulse() -> str:
            return "alive"

        @p0.job(keyword="word", id="named")
        async def on_word() -> str:
            return "heard"

        assert await pulse() == "alive"
        await world.start(p0)
        assert [job.id for job in await p0.get_jobs(tag="beat")] == ["pulse"]
        assert (await p0.wait("pulse")).result == "alive"
        (firing,) = await p0.fire_job("word")
        assert (firing.job_id, await p0.result(firing)) == ("named", "heard")
        assert now() == 5.0


# One-time jobs


async def test_a_finished_job_with_a_drawn_id_leaves_no_record() -> None:
    async with World() as world:
        p0 = await world.peer()
        job = await p0.schedule(Job("work", kwargs={"value": 1}))
        await p0.wait(job)
        assert await p0.state(job) is JobState.FINISHED
        assert not await p0.get_jobs(state="finished")
        with pytest.raises(JobNotFoundError):
            await p0.get_job(job)
        assert (await p0.wait(job)).result == 1


async def test_an_outcome_is_readable_until_keep_ends() -> None:
    async with World(terms={"beat": 60, "member_timeout": 180}) as world:
        p0 = await world.peer("p0")
        client = await world.peer("client", run_jobs=False)
        job = await p0.schedule(
            Job("work", id="a", kwargs={"value": "x" * 3000}, keep=after(DAY))
        )
        await p0.wait(job)
        assert not await p0.job_exists("a")
        assert await p0.state("a") is JobState.FINISHED
        await asyncio.sleep(0.9 * DAY)
        assert (await client.wait("a")).result == "x" * 3000
        await asyncio.sleep(0.2 * DAY)
        assert not await p0.get_jobs(state="finished")
        assert (await client.wait("a")).result == "x" * 3000, "the ledger has it"


async def test_scheduling_a_finished_job_again_is_a_no_op_unless_asked_for() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(Job("work", id="a"))
        await p0.wait("a")
        await asyncio.sleep(1000)
        same = await p1.schedule(Job("work", id="a"))
        assert same.state is JobState.FINISHED
        await asyncio.sleep(10)
        assert len(world.runs) == 1
        await p1.schedule(Job("work", id="a"), again=True)
        assert (await p1.wait("a")).outcome is Outcome.SUCCEEDED
        assert world.begun("a") == [0.0, 1010.0]
        adds_up((await p1.get_jobs(state="finished"))[0])


async def test_a_finished_job_with_another_definition_runs() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a"))
        await p0.wait("a")
        await p0.schedule(Job("work", id="a", kwargs={"value": 2}))
        await asyncio.sleep(1)
        assert len(world.runs) == 2


async def test_a_tombstone_goes_when_its_keep_ends() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", keep=after(100)))
        await p0.wait("a")
        await asyncio.sleep(50)
        await p0.schedule(Job("work", id="a", keep=after(100)))
        await asyncio.sleep(60)
        assert len(world.runs) == 1
        await p0.schedule(Job("work", id="a", keep=after(100)))
        await asyncio.sleep(1)
        assert world.begun("a") == [0.0, 110.0]


async def test_a_removed_job_may_be_scheduled_again() -> None:
    async with World() as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 100}))
        await asyncio.sleep(1)
        await p1.remove_job("a")
        await p1.schedule(Job("work", id="a", kwargs={"seconds": 1}))
        await asyncio.sleep(30)
        assert [ran.until is not None for ran in world.of("a")] == [True, True]
        assert await p0.state("a") is JobState.FINISHED
