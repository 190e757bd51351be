"""Running as `schedule` users know it: S1-P10, P11, P13, P14, P15."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import (
    CancelJob,
    Context,
    IntervalTrigger,
    Job,
    JobNotFoundError,
    JobState,
    MemoryJobStore,
    Outcome,
    Scheduler,
)
from tests.engine.kit import World, adds_up, at, loop, now
from tests.seeds.stage import FAST, Stage
from tests.waiting import wait_until

_FAST = IntervalTrigger(milliseconds=100)


# --- S1-P10: cancel_job, return CancelJob ---


@pytest.mark.seed("S1-P10")
async def test_a_job_is_cancelled_from_outside(stage: Stage) -> None:
    async with stage:
        client, _ = await stage.two()
        await client.schedule(Job("note", id="a", trigger=_FAST))
        await stage.begun("a", 2)
        await client.remove_job("a")
        ran = len(stage.of("a"))
        await asyncio.sleep(0.5)
        assert len(stage.of("a")) == ran
        with pytest.raises(JobNotFoundError):
            await client.get_job("a")


@pytest.mark.seed("S1-P10")
@pytest.mark.parametrize("how", ["returned class", "returned", "raised", "in a thread"])
async def test_a_job_that_returns_it_ran_once_and_is_gone(
    stage: Stage, how: str
) -> None:
    """The seed's ``raise CancelSchedule`` is ``raise CancelJob`` here."""
    ran: list[int] = []

    async def coroutine() -> Any:
        ran.append(1)
        if how == "raised":
            raise CancelJob("done")
        return CancelJob if how == "returned class" else CancelJob("done")

    def function() -> Any:
        ran.append(1)
        return CancelJob("done")

    async with stage:
        client, worker = await stage.two()
        worker.register(function if how == "in a thread" else coroutine, name="once")
        await client.schedule(Job("once", id="a", trigger=_FAST), allow_unknown=True)
        run = await client.wait("a", timeout=10)
        assert run.outcome is Outcome.SUCCEEDED
        assert run.result == (None if how == "returned class" else "done")
        await asyncio.sleep(0.5)
        assert ran == [1]
        assert not await client.job_exists("a")
        assert await client.state("a") is JobState.REMOVED


# --- S1-P11: run_pending, run_all(delay) ---


@pytest.mark.seed("S1-P11")
async def test_what_is_due_is_run_when_it_is_asked_for(stage: Stage) -> None:
    async with stage:
        peer = stage.build("p0")
        await peer.start(paused=True)
        jobs = [Job("note", id=f"j{n}", kwargs={"value": n}) for n in range(3)]
        await peer.schedule_many(jobs)
        await asyncio.sleep(0.5)
        assert stage.ran == [], "nothing by itself"
        runs = await peer.run_pending(timeout=10)
        assert sorted((run.job_id, run.result) for run in runs) == [
            ("j0", 0),
            ("j1", 1),
            ("j2", 2),
        ]
        assert await peer.run_pending(timeout=10) == []
        assert len(stage.ran) == 3


@pytest.mark.seed("S1-P11")
@pytest.mark.virtual(timeout=100_000)
async def test_all_are_run_now_with_pauses_and_go_on_as_they_were() -> None:
    """The seed's ``run_now(tag=, spacing=)`` is ``start_jobs(tag=, spacing=)``.

    A run that somebody asked for does not move the slots of its job, so there is
    nothing to be set anew.
    """
    async with World() as world:
        p0 = await world.peer("p0")
        trigger = IntervalTrigger(seconds=60)
        jobs = [Job("work", id=f"j{n}", trigger=trigger, tags=("t",)) for n in range(3)]
        await p0.schedule_many(jobs)
        await p0.schedule(Job("work", id="other", trigger=trigger))
        before = [(await p0.get_job(job)).next_fire_time for job in jobs]
        await asyncio.sleep(5)
        firings = await p0.start_jobs(tag="t", spacing=0.1)
        for firing in firings:
            await p0.wait(firing, timeout=10)
        assert sorted(ran.at for ran in world.runs) == [5.0, 5.1, 5.2]
        assert {ran.job for ran in world.runs} == {job.id for job in jobs}
        assert [(await p0.get_job(job)).next_fire_time for job in jobs] == before
        await asyncio.sleep(60 - now())
        await asyncio.sleep(1)
        assert len(world.runs) == 7


# --- S1-P13: missed ticks are not replayed ---


@pytest.mark.seed("S1-P13")
@pytest.mark.virtual(timeout=100_000)
@pytest.mark.parametrize(
    ("options", "runs", "skipped", "missed"),
    [
        ({}, 1, 59, 0),
        ({"coalesce": "earliest", "misfire_grace": 7200}, 1, 59, 0),
        ({"misfire_grace": 10}, 0, 0, 60),
        (
            {
                "coalesce": "all",
                "misfire_grace": 7200,
                "overlap": "allow",
                "max_running": 60,
            },
            60,
            0,
            0,
        ),
    ],
    ids=["default", "the oldest", "none", "all"],
)
async def test_of_the_slots_of_an_hour_away_as_many_run_as_the_policy_says(
    options: dict[str, Any], runs: int, skipped: int, missed: int
) -> None:
    """The seed's ``catch_up="one|none|all"`` is ``coalesce`` and ``misfire_grace``."""
    async with World() as world:
        p0 = await world.peer("p0")
        trigger = IntervalTrigger(minutes=1, start=at(60))
        await p0.schedule(Job("work", id="a", trigger=trigger, **options))
        await asyncio.sleep(30)
        loop().stall("p0", 3600)
        await asyncio.sleep(3610)
        assert len(world.runs) == runs
        job = await p0.get_job("a")
        adds_up(job)
        counts = job.counts
        assert (counts.fired, counts.skipped, counts.missed) == (runs, skipped, missed)
        assert job.next_fire_time == at(3660)
        if runs == 1:
            assert world.runs[0].missed == 59, "it knows for how many it stands"
        await asyncio.sleep(60)
        assert len(world.runs) == runs + 1, "and on it goes"


# --- S1-P14: exceptions do not stop the loop ---


@pytest.mark.seed("S1-P14")
@pytest.mark.virtual(timeout=100_000)
async def test_a_job_that_raises_each_time_still_fires_each_time() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor
        async def fails(context: Context) -> None:
            world.note("p0", context)
            raise LookupError(f"number {len(world.of('a'))}")

        await world.start(p0)
        trigger = IntervalTrigger(seconds=1)
        await p0.schedule(Job("fails", id="a", trigger=trigger))
        await p0.schedule(Job("work", id="b", trigger=trigger))
        await asyncio.sleep(5.5)
        assert world.begun("a") == world.begun("b") == [1.0, 2.0, 3.0, 4.0, 5.0]
        recent = (await p0.get_job("a")).recent
        assert [run.error and run.error.message for run in recent] == [
            f"number {n}" for n in (5, 4, 3, 2, 1)
        ]
        assert {run.outcome for run in recent} == {Outcome.FAILED}
        assert p0.health().ok


# --- S1-P15: several Scheduler objects ---


@pytest.mark.seed("S1-P15")
async def test_several_schedulers_in_one_loop_each_fire_their_own() -> None:
    """There is no default one: a scheduler belongs to who builds it."""
    ran: list[tuple[str, str]] = []

    def build(name: str, **options: Any) -> Scheduler:
        scheduler = Scheduler(name=name, **FAST, **options)

        @scheduler.executor(name="work")
        async def work(context: Context) -> None:
            ran.append((name, context.job_id))

        return scheduler

    shared = MemoryJobStore()
    one, two = build("one"), build("two")
    three = build("three", store=shared, namespace="three")
    four = build("four", store=shared, namespace="four")
    every = (one, two, three, four)
    async with one, two, three, four:
        for scheduler in every:
            job = Job("work", id=f"of-{scheduler.name}", trigger=_FAST)
            await scheduler.schedule(job)
        await wait_until(lambda: {n for n, _ in ran} == {s.name for s in every}, "all")
        for scheduler in every:
            (job,) = await scheduler.get_jobs()
            assert job.id == f"of-{scheduler.name}"
    assert {job_id for name, job_id in ran if job_id != f"of-{name}"} == set()


@pytest.mark.seed("S1-P15")
async def test_one_that_ends_leaves_the_others(stage: Stage) -> None:
    async with stage:
        other = await stage.peer("other", namespace="other")
        mine = await stage.peer("mine")
        await other.schedule(Job("note", id="a", trigger=_FAST))
        await mine.schedule(Job("note", id="b", trigger=_FAST))
        await stage.begun("a")
        await mine.shutdown()
        ran = len(stage.of("a"))
        await stage.begun("a", ran + 2)
        assert {one.peer for one in stage.of("a")} == {"other"}
