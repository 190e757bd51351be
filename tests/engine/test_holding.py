"""A peer that is held claims nothing by itself, and runs what is due when asked."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from aiosched import (
    Context,
    IntervalTrigger,
    Job,
    MemoryJobStore,
    Outcome,
    Retry,
    SchedulerStateError,
    StoreUnavailableError,
    WaitTimeoutError,
)
from aiosched.testing import Fault, FaultyStore
from tests.engine.conftest import MakeScheduler
from tests.engine.kit import World, adds_up, at, now

virtual = pytest.mark.virtual(timeout=100_000)


def every_second(name: str, **options: Any) -> Job:
    return Job("work", id=name, trigger=IntervalTrigger(seconds=1), **options)


# --- held ----------------------------------------------------------------------


@virtual
async def test_a_peer_that_starts_held_runs_nothing_until_it_is_released() -> None:
    async with World() as world:
        p0 = world.build("p0")
        await p0.start(paused=True)
        await p0.schedule(every_second("a"))
        await p0.schedule(Job("work", id="once"))
        await asyncio.sleep(10)
        assert world.runs == []
        health = p0.health()
        assert (health.held, health.ok, health.overdue) == (True, True, 0.0)
        (me,) = await p0.peers()
        assert not me.claims
        await p0.release()
        await asyncio.sleep(2.5)
        assert not p0.health().held
        assert [me.claims for me in await p0.peers()] == [True]
        # Of the slots that passed meanwhile the newest stands for all.
        assert world.begun("a") == [10.0, 11.0, 12.0]
        assert world.of("a")[0].missed == 9
        assert world.begun("once") == [10.0]


@virtual
async def test_what_runs_on_a_peer_that_is_held_goes_on() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        job = Job("work", id="long", kwargs={"seconds": 60, "value": 7})
        await p0.schedule(job)
        await asyncio.sleep(1)
        await p0.hold()
        run = await p0.wait("long", timeout=100)
        assert (run.outcome, run.attempt, run.result) == (Outcome.SUCCEEDED, 1, 7)
        assert now() == 60.0


@virtual
async def test_the_others_take_over_from_a_held_peer_at_once() -> None:
    async with World() as world:
        for n in range(3):
            await world.peer(f"p{n}")
        await asyncio.sleep(6)
        jobs = [every_second(f"j{n}") for n in range(20)]
        await world.peers["p0"].schedule_many(jobs)
        await asyncio.sleep(5)
        assert {ran.peer for ran in world.runs} == {"p0", "p1", "p2"}
        await world.peers["p0"].hold()
        held = now()
        await asyncio.sleep(10)
        seen = {peer.name: peer.claims for peer in await world.peers["p1"].peers()}
        assert seen == {"p0": False, "p1": True, "p2": True}
        late = [ran for ran in world.runs if ran.at > held]
        assert {ran.peer for ran in late} == {"p1", "p2"}
        assert max(ran.at - ran.fire_time for ran in late) < 0.3, "within a steal delay"
        await world.peers["p0"].release()
        await asyncio.sleep(10)
        assert any(ran.peer == "p0" and ran.at > held for ran in world.runs)
        for job in jobs:
            slots = [ran.fire_time for ran in world.of(job)]
            assert slots == [float(n) for n in range(7, 7 + len(slots))]
            adds_up(await world.peers["p0"].get_job(job))


@virtual
async def test_held_and_released_many_times_it_goes_on() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        await p0.schedule(every_second("a"))
        for _ in range(5):
            await p0.hold()
            await p0.hold()
            await p0.release()
            await p0.release()
        # Nor does one that is in the middle of a beat lose its agendas.
        await asyncio.gather(p0.hold(), p0.release(), p0.hold(), p0.release())
        begun = now()
        await asyncio.sleep(5.5)
        assert world.begun("a")[-5:] == [begun + n for n in range(1, 6)]


@virtual
async def test_nothing_begins_once_hold_has_returned() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        await p0.schedule_many([every_second(f"j{n}") for n in range(50)])
        for n in range(20):
            await asyncio.sleep(0.98 + n / 500)
            await p0.hold()
            before = len(world.runs)
            await asyncio.sleep(1.5)
            assert len(world.runs) == before
            await p0.release()


@virtual
async def test_a_held_peer_shuts_down_like_any_other() -> None:
    async with World() as world:
        p0 = world.build("p0")
        await p0.start(paused=True)
        began = now()
        await p0.shutdown()
        assert now() - began < 1
        with pytest.raises(SchedulerStateError, match="closed"):
            await p0.release()


@virtual
async def test_a_client_has_nothing_to_hold() -> None:
    async with World() as world:
        client = world.build("client", run_jobs=False)
        await client.start(paused=True)
        for verb in (client.hold, client.release, client.run_pending):
            with pytest.raises(SchedulerStateError, match="client"):
                await verb()


@virtual
async def test_a_peer_is_held_although_the_store_is_away() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = await world.peer("p0")
        await p0.schedule(every_second("a"))
        await asyncio.sleep(2.5)
        store.plan(Fault("*", times=None))
        await p0.hold()
        await asyncio.sleep(30)
        store.heal()
        await asyncio.sleep(30)
        assert world.begun("a") == [1.0, 2.0]
        assert [peer.claims for peer in await p0.peers()] == [False]


# --- asked to run what is due ----------------------------------------------------


@virtual
async def test_what_is_due_is_run_once() -> None:
    async with World() as world:
        p0 = world.build("p0")
        await p0.start(paused=True)
        await p0.schedule_many(
            [Job("work", id=f"j{n}", kwargs={"value": n}) for n in range(3)]
        )
        await p0.schedule(Job("work", id="later", when=timedelta(seconds=60)))
        runs = await p0.run_pending()
        assert sorted((run.job_id, run.result) for run in runs) == [
            ("j0", 0),
            ("j1", 1),
            ("j2", 2),
        ]
        assert await p0.run_pending() == []
        assert len(world.runs) == 3
        await asyncio.sleep(60)
        assert [run.job_id for run in await p0.run_pending()] == ["later"]
        assert p0.health().held


@virtual
async def test_slots_that_come_while_it_runs_are_left_to_the_next_call() -> None:
    async with World() as world:
        p0 = world.build("p0")
        await p0.start(paused=True)
        await p0.schedule(every_second("a", kwargs={"seconds": 2.5}, overlap="allow"))
        await asyncio.sleep(1.5)
        (run,) = await p0.run_pending()
        assert (run.fire_time, now()) == (at(1), 4.0)
        (run,) = await p0.run_pending()
        assert (run.fire_time, run.missed) == (at(4), 2)


@virtual
async def test_firings_that_wait_behind_a_run_are_run_too() -> None:
    async with World() as world:
        p0 = world.build("p0")
        await p0.start(paused=True)
        job = Job("work", id="a", keyword="k", kwargs={"seconds": 5}, overlap="queue")
        await p0.schedule(job)
        for n in range(4):
            await p0.fire_job("k", {"value": n}, fire_id=f"f{n}")
        runs = await p0.run_pending()
        assert [run.key for run in runs] == ["f0", "f1", "f2", "f3"]
        assert world.begun("a") == [0.0, 5.0, 10.0, 15.0]


@virtual
async def test_more_than_it_may_run_at_a_time_is_run_in_turn() -> None:
    async with World(max_concurrency=2) as world:
        p0 = world.build("p0")
        await p0.start(paused=True)
        jobs = [Job("work", id=f"j{n}", kwargs={"seconds": 1}) for n in range(7)]
        await p0.schedule_many(jobs)
        runs = await p0.run_pending()
        assert sorted(run.job_id for run in runs) == sorted(job.id for job in jobs)
        assert now() == 4.0


@virtual
async def test_it_waits_for_a_place_that_a_run_from_before_holds() -> None:
    async with World(max_concurrency=1) as world:
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="before", kwargs={"seconds": 10}))
        await asyncio.sleep(1)
        await p0.hold()
        await p0.schedule(Job("work", id="after"))
        assert [run.job_id for run in await p0.run_pending()] == ["after"]
        assert now() == 10.0


@virtual
async def test_a_failure_is_told_and_its_retry_is_due_later() -> None:
    async with World() as world:
        p0 = world.build("p0")

        @p0.executor
        async def flaky(context: Context) -> int:
            if context.attempt < 3:
                message = "not yet"
                raise OSError(message)
            return context.attempt

        await p0.start(paused=True)
        await p0.schedule(Job("flaky", retry=Retry(attempts=3, delay=10), id="a"))
        seen = []
        for _ in range(3):
            seen += await p0.run_pending()
            await asyncio.sleep(30)
        assert [(run.outcome, run.final) for run in seen] == [
            (Outcome.FAILED, False),
            (Outcome.FAILED, False),
            (Outcome.SUCCEEDED, True),
        ]


@virtual
async def test_what_is_not_over_in_time_goes_on() -> None:
    async with World() as world:
        p0 = world.build("p0")
        await p0.start(paused=True)
        job = Job("work", id="a", keyword="k", kwargs={"seconds": 5}, overlap="queue")
        await p0.schedule(job)
        for n in range(2):
            await p0.fire_job("k", fire_id=f"f{n}")
        with pytest.raises(WaitTimeoutError, match="within 2"):
            await p0.run_pending(timeout=2)
        await asyncio.sleep(20)
        stored = await p0.get_job("a")
        assert (stored.counts.succeeded, stored.waiting) == (1, 1)
        assert [run.key for run in await p0.run_pending()] == ["f1"]


@virtual
async def test_a_peer_that_is_not_held_refuses() -> None:
    async with World() as world:
        p0 = await world.peer("p0")
        with pytest.raises(SchedulerStateError, match="hold"):
            await p0.run_pending()


@virtual
async def test_a_job_that_it_cannot_run_is_left_to_others() -> None:
    async with World() as world:
        p0, p1 = world.build("p0", work=False), world.build("p1")
        await p0.start(paused=True)
        await p1.start(paused=True)
        await p1.schedule(Job("work", id="a"))
        assert await p0.run_pending() == []
        assert [run.job_id for run in await p1.run_pending()] == ["a"]


@virtual
async def test_a_store_that_is_away_is_told() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        p0 = world.build("p0")
        await p0.start(paused=True)
        await p0.schedule(Job("work", id="a"))
        for verb in ("now", "agenda", "transact"):
            store.plan(Fault(verb))
            with pytest.raises(StoreUnavailableError):
                await p0.run_pending()
        await asyncio.sleep(10)
        assert [run.job_id for run in await p0.run_pending()] == ["a"]
        assert p0.health().ok


@virtual
async def test_a_shutdown_ends_what_it_waits_for() -> None:
    async with World() as world:
        p0 = world.build("p0")
        await p0.start(paused=True)
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 100}))
        pending = asyncio.create_task(p0.run_pending())
        await asyncio.sleep(1)
        await p0.shutdown(force=True)
        runs = await pending
        assert [(run.outcome, run.final) for run in runs] == [(None, False)]
        assert now() < 10


async def test_two_held_peers_share_what_is_due(make_scheduler: MakeScheduler) -> None:
    ran: list[str] = []

    async def note(context: Context) -> None:
        ran.append(context.job_id)
        await asyncio.sleep(0.01)

    peers = [make_scheduler(f"p{n}") for n in range(2)]
    try:
        for peer in peers:
            peer.register(note, name="note")
            await peer.start(paused=True)
        await peers[0].schedule_many([Job("note", id=f"j{n:03}") for n in range(150)])
        found = await asyncio.gather(*(peer.run_pending() for peer in peers))
        assert await peers[0].run_pending() == []
    finally:
        await asyncio.gather(*(peer.shutdown(force=True) for peer in peers))
    assert sorted(ran) == [f"j{n:03}" for n in range(150)]
    assert sorted(run.job_id for runs in found for run in runs) == sorted(ran)
