"""The verbs on many jobs: by tag or all, over pages, restarts and re-registration."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from aiosched import (
    ConfigurationError,
    Context,
    IntervalTrigger,
    Job,
    JobState,
    MemoryJobStore,
    Outcome,
    RowKind,
    Scheduler,
    TooManyWaitingError,
)
from aiosched.records import MAX_WAITING
from tests.engine.conftest import MakeScheduler
from tests.engine.kit import World, adds_up, after, at, now

NEVER = IntervalTrigger(days=3650)
EVERY_SECOND = IntervalTrigger(seconds=1)


async def states(scheduler: Scheduler, tag: str | None = None) -> set[str]:
    jobs = await scheduler.get_jobs(tag=tag, limit=1000)
    return {str(job.state) for job in jobs}


# --- by tag, over pages --------------------------------------------------------------


async def test_a_tag_or_everything(make_scheduler: MakeScheduler) -> None:
    """More jobs than a page, on every shard; the verbs tell whom they reached."""
    async with make_scheduler("one") as one, make_scheduler("two") as two:

        async def work() -> None:
            pass

        for peer in (one, two):
            peer.register(work)
        heard: list[tuple[str, str | None]] = []
        two.on("*", lambda event: heard.append((event.name, event.job_id)))
        some = [f"s{n:03}" for n in range(130)]
        rest = [f"r{n:03}" for n in range(20)]
        await one.schedule_many(
            [Job("work", id=i, trigger=NEVER, tags=["some"]) for i in some]
            + [Job("work", id=i, trigger=NEVER) for i in rest]
        )
        assert await two.pause_jobs(tag="nobody") == []
        assert (
            await two.pause_jobs(tag="some", note="why", until=3600, by="ann") == some
        )
        assert await states(one, "some") == {"paused"}
        job = await one.get_job("s007")
        assert (job.pause_note, job.pause_until is not None) == ("why", True)
        assert {(await one.get_job(i)).state for i in rest[:3]} == {JobState.ACTIVE}
        assert await two.pause_jobs() == sorted(some + rest)
        assert await two.resume_jobs(tag="some") == some
        assert await two.resume_jobs() == rest
        assert await two.resume_jobs() == []
        assert await states(one) == {"active"}
        firings = await two.start_jobs(tag="some", note="now", by="bob")
        assert [firing.job_id for firing in firings] == some
        for firing in firings[:3]:
            run = await one.wait(firing, timeout=5)
            assert run.outcome is Outcome.SUCCEEDED
        await one.drain(timeout=10)
        assert await two.stop_jobs(tag="some", by="carl") == some
        assert await two.remove_jobs(tag="some") == some
        assert await states(one) == {"active"}
        rows = [e for e in await one.history("s042") if e.run is None]
        assert [(e.kind.value, e.by, e.note) for e in rows] == [
            ("removed", "two", ""),
            ("stopped", "carl", ""),
            ("asked", "bob", "now"),
            ("resumed", "two", ""),
            ("held", "two", ""),
            ("held", "ann", "why"),
            ("created", "one", ""),
        ]
        for event in ("job_paused", "job_resumed", "job_stopped", "job_removed"):
            assert {job_id for name, job_id in heard if name == event} >= set(some)


@pytest.mark.virtual(timeout=1000)
async def test_calling_again_changes_nothing_more() -> None:
    async with World() as world:
        p0 = await world.peer()
        ids = [f"j{n}" for n in range(7)]
        await p0.schedule_many([Job("work", id=i, trigger=NEVER) for i in ids])
        for _ in range(3):
            assert await p0.pause_jobs(note="why") == ids
        for _ in range(3):
            assert await p0.stop_jobs() == ids
        rows = await p0.history("j3")
        assert [e.kind for e in rows] == [RowKind.HELD, RowKind.CREATED]
        assert await p0.remove_jobs() == ids
        assert await p0.remove_jobs() == []
        assert await p0.pause_jobs() == []


@pytest.mark.virtual(timeout=1000)
async def test_what_cannot_be_used_is_refused() -> None:
    async with World() as world:
        p0 = await world.peer()
        await p0.schedule(Job("work", id="a", trigger=NEVER))
        calls: list[tuple[Any, dict[str, Any], str]] = [
            (p0.pause_jobs, {"tag": 7}, "tag"),
            (p0.pause_jobs, {"until": -1}, "until"),
            (p0.resume_jobs, {"tag": b"x"}, "tag"),
            (p0.start_jobs, {"tag": 7}, "tag"),
            (p0.start_jobs, {"spacing": -1}, "spacing"),
            (p0.start_jobs, {"spacing": "soon"}, "spacing"),
            (p0.stop_jobs, {"tag": ["a"]}, "tag"),
            (p0.remove_jobs, {"tag": 7}, "tag"),
        ]
        for verb, options, field in calls:
            with pytest.raises(ConfigurationError) as caught:
                await verb(**options)
            assert caught.value.field == field
        assert [e.kind for e in await p0.history()] == [RowKind.CREATED]


# --- start_jobs ------------------------------------------------------------------


@pytest.mark.virtual(timeout=10_000)
async def test_starts_are_spaced_and_leave_the_grid_alone() -> None:
    async with World() as world:
        p0 = await world.peer()
        trigger = IntervalTrigger(hours=1, start=at(3600))
        for name in ("c", "a", "b"):
            await p0.schedule(Job("work", id=name, trigger=trigger, tags=["t"]))
        await p0.schedule(Job("work", id="other", trigger=trigger))
        await p0.schedule(Job("work", id="held", trigger=trigger, tags=["t"]))
        await p0.pause("held")
        begin = now()
        firings = await p0.start_jobs(tag="t", spacing=timedelta(seconds=30))
        assert [firing.job_id for firing in firings] == ["a", "b", "c"]
        assert [f.fire_time for f in firings] == [at(begin + n) for n in (0, 30, 60)]
        await p0.drain(timeout=5)
        assert [world.begun(i) for i in "abc"] == [[begin], [begin + 30], [begin + 60]]
        assert world.begun("other") == world.begun("held") == []
        assert (await p0.get_job("a")).next_fire_time == at(3600)
        # All at once by default, and again: each runs once more.
        await p0.start_jobs(tag="t")
        await p0.drain(timeout=5)
        assert {len(world.begun(i)) for i in "abc"} == {2}


@pytest.mark.virtual(timeout=10_000)
async def test_what_runs_already_is_passed_over() -> None:
    async with World() as world:
        p0 = await world.peer()
        for name in ("a", "b"):
            await p0.schedule(
                Job("work", id=name, kwargs={"seconds": 100}, keyword="never")
            )
        await p0.start_job("a")
        await asyncio.sleep(1)
        assert [firing.job_id for firing in await p0.start_jobs()] == ["b"]


@pytest.mark.virtual(timeout=10_000)
async def test_a_full_list_is_told_after_the_others_were_started() -> None:
    async with World() as world:
        p0 = await world.peer()
        full = Job("work", id="a", kwargs={"seconds": 50}, keyword="k", overlap="queue")
        await p0.schedule(full)
        await p0.schedule(Job("work", id="b", keyword="other"))
        for _ in range(MAX_WAITING + 1):
            await p0.start_job("a")
            await asyncio.sleep(0.01)
        with pytest.raises(TooManyWaitingError) as caught:
            await p0.start_jobs()
        assert caught.value.job_id == "a"
        await asyncio.sleep(1)
        assert len(world.begun("b")) == 1


# --- pauses last -----------------------------------------------------------------


async def test_a_pause_survives_restarts_and_registering_again(
    make_scheduler: MakeScheduler,
) -> None:
    """Scheduling at boot, declaring and replacing all leave a job paused."""
    ran: list[str] = []
    observer = make_scheduler("observer", run_jobs=False)
    await observer.start()

    def build(name: str, **options: Any) -> Scheduler:
        peer = make_scheduler(name, **options)

        @peer.job(EVERY_SECOND, id="declared")
        async def declared() -> None:
            ran.append("declared")

        @peer.executor
        async def work(number: int = 1) -> None:
            ran.append("work")

        return peer

    tick = Job("work", id="tick", trigger=EVERY_SECOND)
    first = build("first")
    await first.start()
    await first.schedule(tick)
    assert await first.pause_jobs(note="month end") == ["declared", "tick"]
    await first.drain(timeout=5)
    await first.shutdown()
    before = len(ran)

    second = build("second", revision=2)
    await second.start()
    for rule in ("raise", "keep", "replace"):
        stored = await second.schedule(tick, on_conflict=rule)
        assert stored.state is JobState.PAUSED
    changed = tick.with_changes(
        kwargs={"number": 2}, trigger=IntervalTrigger(seconds=0.5)
    )
    replaced = await second.schedule(changed, on_conflict="replace")
    modified = await second.modify("declared", tags=["x"])
    for job in (replaced, modified, await second.get_job("declared")):
        assert (job.state, job.pause_note) == (JobState.PAUSED, "month end")
        assert job.next_fire_time is None
    await second._clock.sleep(1.2)
    assert len(ran) == before
    assert await second.resume_jobs() == ["declared", "tick"]
    await second._clock.sleep(1.2)
    assert {"declared", "work"} <= set(ran[before:])
    await second.shutdown()
    await observer.shutdown()


@pytest.mark.virtual(timeout=1_000_000)
async def test_a_pause_survives_the_death_of_every_peer() -> None:
    async with World(MemoryJobStore()) as world:
        observer = await world.peer("observer", run_jobs=False)
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="a", trigger=EVERY_SECOND))
        await asyncio.sleep(5.5)
        await p0.pause_jobs(until=after(100))
        world.crash("p0")
        seen = len(world.runs)
        await asyncio.sleep(20)
        await world.peer("p1")
        await asyncio.sleep(60)
        assert len(world.runs) == seen
        await asyncio.sleep(60)
        assert len(world.runs) > seen
        assert world.runs[seen].at >= 105.5
        adds_up(await observer.get_job("a"))


# --- going on does not flood ---------------------------------------------------------


@pytest.mark.parametrize("coalesce", ["latest", "earliest", "all"])
async def test_going_on_does_not_flood(
    make_scheduler: MakeScheduler, coalesce: Any
) -> None:
    """What a pause held back is counted, not made up, whatever the catch-up."""
    async with make_scheduler() as peer:
        ran: list[tuple[str, datetime]] = []

        @peer.executor
        async def work(context: Context) -> None:
            ran.append((context.job_id, context.fire_time))

        quick = IntervalTrigger(milliseconds=20)
        rules: Any = {"coalesce": coalesce, "overlap": "queue", "trigger": quick}
        ids = [f"j{number}" for number in range(5)]
        await peer.schedule_many([Job("work", id=i, **rules) for i in ids])
        await peer._clock.sleep(0.2)
        await peer.pause_jobs()
        await peer.drain(timeout=5)
        before = len(ran)
        await peer._clock.sleep(1.0)
        assert len(ran) == before
        await peer.resume_jobs()
        await peer._clock.sleep(0.2)
        await peer.pause_jobs()
        await peer.drain(timeout=5)
        for job_id in ids:
            row = (await peer.history(job_id, kind="paused"))[-1]
            assert row.first is not None
            assert row.last is not None
            assert row.count >= 45
            slots = [slot for name, slot in ran if name == job_id]
            assert len(set(slots)) == len(slots)
            assert not [slot for slot in slots if row.first <= slot <= row.last]
            assert [slot for slot in slots if slot > row.last]
            job = await peer.get_job(job_id)
            adds_up(job)
            # Of a run that was long, the next slot waits for the end of the pause.
            assert job.counts.fired - job.waiting == len(slots)
