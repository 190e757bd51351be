"""A store that fails, signals that are lost, and a service with a bug."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import (
    Event,
    IntervalTrigger,
    Job,
    MemoryJobStore,
    Outcome,
    Reason,
    SchedulerStateError,
    StoreUnavailableError,
    WaitTimeoutError,
)
from aiosched.testing.faults import Fault, FaultyStore
from tests.engine.kit import World, adds_up, after, now

pytestmark = pytest.mark.virtual(timeout=100_000)

BEAT = 5.0


def deaf(store: MemoryJobStore) -> FaultyStore:
    """Return the store with every signal lost, canaries included."""
    return FaultyStore(store, Fault("signals", kind="drop", times=None))


async def deaf_peers(world: World, count: int) -> None:
    for n in range(count):
        await world.peer(f"p{n}")
        # Peers do not beat in step in real life either.
        await asyncio.sleep(1.7)


async def test_without_signals_a_job_is_at_most_a_beat_late() -> None:
    async with World(deaf(MemoryJobStore())) as world:
        client = await world.peer("client", run_jobs=False)
        await deaf_peers(world, 3)
        scheduled = {}
        for n in range(40):
            await asyncio.sleep(0.9)
            scheduled[f"j{n}"] = now()
            await client.schedule(Job("work", id=f"j{n}"))
        await asyncio.sleep(20)
        assert len(world.runs) == 40
        late = [ran.at - scheduled[ran.job] for ran in world.runs]
        assert max(late) <= BEAT
        assert world.store.struck  # type: ignore[attr-defined]


async def test_without_signals_a_stop_arrives_within_a_third_of_a_lease() -> None:
    async with World(deaf(MemoryJobStore())) as world:
        client = await world.peer("client", run_jobs=False)
        await deaf_peers(world, 2)
        await client.schedule(Job("work", id="a", kwargs={"seconds": 500}))
        await asyncio.sleep(22)
        asked = now()
        await client.stop_job("a")
        await asyncio.sleep(10)
        (ran,) = world.runs
        assert ran.reason is Reason.USER
        assert ran.until is not None
        assert ran.until - asked <= 5.0


async def test_without_signals_a_wait_ends_within_a_beat() -> None:
    async with World(deaf(MemoryJobStore())) as world:
        client = await world.peer("client", run_jobs=False)
        await deaf_peers(world, 2)
        job = await client.schedule(Job("work", kwargs={"seconds": 3}))
        await client.wait(job)
        (ran,) = world.runs
        assert ran.until is not None
        assert now() - ran.until <= BEAT


async def test_without_signals_callbacks_hear_of_every_outcome() -> None:
    async with World(deaf(MemoryJobStore())) as world:
        client = await world.peer("client", run_jobs=False)
        await deaf_peers(world, 2)
        heard: list[tuple[str, str]] = []
        client.add_done_callback(lambda run: heard.append((run.job_id, run.key)))
        job = Job("work", id="a", trigger=IntervalTrigger(seconds=1))
        await client.schedule(job)
        await asyncio.sleep(60)
        done = [(ran.job, ran.key) for ran in world.runs if ran.at < now() - 10]
        assert len(done) > 40
        assert set(done) <= set(heard)
        assert len(heard) == len(set(heard))


@pytest.mark.parametrize("verb", ["*", "beat", "agenda", "watch", "transact", "read"])
@pytest.mark.parametrize("kind", ["refuse", "lost_reply"])
async def test_a_store_that_fails_for_a_while_loses_nothing(
    verb: str, kind: Any
) -> None:
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        job = Job(
            "work",
            id="tick",
            trigger=IntervalTrigger(seconds=1),
            overlap="queue",
            kwargs={"seconds": 0.3},
        )
        await p0.schedule(job)
        await asyncio.sleep(5.1)
        store.plan(Fault(verb, kind=kind, times=None))
        await asyncio.sleep(30)
        store.heal()
        await asyncio.sleep(25)
        assert p0.health().ok, p0.health()
        assert p1.health().ok, p1.health()
        for peer in (p0, p1):
            stored = await peer.get_job("tick")
            adds_up(stored)
        counts = stored.counts
        assert stored.last_outcome is Outcome.SUCCEEDED
        assert counts.slots == counts.fired + counts.skipped == 60
        assert {ran.fire_time for ran in world.runs} >= {1.0, 2.0, 59.0, 60.0}
        assert world.runs[-1].at >= 59


async def test_a_subscription_that_cannot_be_made_is_made_later() -> None:
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        p0 = world.build("p0")
        client = await world.peer("client", run_jobs=False)
        store.plan(Fault("watch", times=3))
        await world.start(p0)
        await asyncio.sleep(4)
        job = await client.schedule(Job("work"))
        await client.wait(job, timeout=1)
        assert p0.health().ok
        assert not store.unused


async def test_an_outage_is_told_and_its_end_too() -> None:
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        p0 = await world.peer("p0")
        told: list[str] = []
        p0.on("store_down", lambda event: told.append(event.name))
        p0.on("store_up", lambda event: told.append(event.name))
        store.plan(Fault("*", times=None))
        await asyncio.sleep(20)
        health = p0.health()
        assert not health.ok
        assert not health.store
        with pytest.raises(StoreUnavailableError):
            await p0.schedule(Job("work"))
        store.heal()
        await asyncio.sleep(10)
        assert p0.health().ok
        assert told == ["store_down", "store_up"]


async def test_an_outcome_outlives_an_outage() -> None:
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        p0 = await world.peer("p0")
        job = await p0.schedule(Job("work", id="a", kwargs={"seconds": 3, "value": 8}))
        await asyncio.sleep(1)
        store.plan(Fault("*", times=None))
        await asyncio.sleep(9)
        store.heal()
        assert await p0.result(job, timeout=10) == 8
        assert len(world.runs) == 1


async def test_a_start_without_a_store_fails_and_leaves_nothing() -> None:
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        for verb in ("open", "advertise", "beat"):
            store.plan(Fault(verb))
            scheduler = world.build(f"p-{verb}")
            with pytest.raises(StoreUnavailableError):
                await scheduler.start()
            store.heal()
        assert store.inner.sessions == 0


@pytest.mark.parametrize("force", [False, True])
async def test_a_shutdown_without_a_store_ends(*, force: bool) -> None:
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", kwargs={"seconds": 2}))
        await p0.schedule(Job("work", kwargs={"seconds": 200}))
        await asyncio.sleep(1)
        store.plan(Fault("*", times=None))
        await asyncio.sleep(4)
        await asyncio.wait_for(p0.shutdown(force=force, grace=10), 60)
        store.heal()


async def test_a_service_with_a_bug_ends_the_scheduler_loudly() -> None:
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        p0, p1 = world.build("p0"), await world.peer("p1")
        failed: list[Event] = []
        p0.on("service_failed", failed.append)
        forever = asyncio.create_task(p0.run_forever())
        await asyncio.sleep(1)
        job = await p0.schedule(Job("work", when=after(1000)))
        waiting = asyncio.create_task(p0.wait(job))
        await asyncio.sleep(1)

        def by_p0(**call: Any) -> bool:
            return bool(call["beat"].member_id == p0.id)

        store.plan(
            Fault("beat", kind="error", error=ZeroDivisionError("bug"), match=by_p0)
        )
        p0._engine.membership.wake()  # type: ignore[union-attr]
        with pytest.raises(ZeroDivisionError, match="bug"):
            await forever
        with pytest.raises((SchedulerStateError, WaitTimeoutError)):
            await waiting
        with pytest.raises(SchedulerStateError):
            await p0.schedule(Job("work"))
        assert len(failed) == 1
        assert p1.health().ok


async def test_a_failed_scheduler_is_red_and_its_verbs_raise_from_the_cause() -> None:
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        scheduler = world.build("p0")
        body: list[str] = []

        async def use() -> None:
            async with scheduler:
                store.plan(Fault("beat", kind="error", error=ZeroDivisionError("bug")))
                await asyncio.sleep(10)
                health = scheduler.health()
                assert not health.ok
                assert "ZeroDivisionError" in str(health.failure)
                with pytest.raises(SchedulerStateError) as caught:
                    await scheduler.get_jobs()
                assert isinstance(caught.value.__cause__, ZeroDivisionError)
                body.append("not cancelled")

        with pytest.raises(ZeroDivisionError):
            await use()
        assert body == ["not cancelled"]


async def test_what_a_failed_scheduler_ran_is_handed_on() -> None:
    async with World(FaultyStore(MemoryJobStore())) as world:
        store: Any = world.store
        p0 = await world.peer("p0")
        await p0.schedule(Job("work", id="a", kwargs={"seconds": 10, "value": 1}))
        await asyncio.sleep(2)
        p1 = await world.peer("p1")

        def by_p0(**call: Any) -> bool:
            return bool(call["beat"].member_id == p0.id)

        store.plan(
            Fault("beat", kind="error", error=ZeroDivisionError("bug"), match=by_p0)
        )
        run = await p1.wait("a", timeout=60)
        assert (run.outcome, run.result) == (Outcome.SUCCEEDED, 1)
        assert [ran.peer for ran in world.runs] == ["p0", "p1"]
        assert run.attempt <= 2
