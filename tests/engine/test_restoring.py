"""What the code declares comes back, however often and in whatever way it is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job, MemoryJobStore, Scheduler
from aiosched.errors import StoreUnavailableError
from aiosched.stores.space import Shard
from aiosched.testing import Fault, FaultyStore
from tests.engine.kit import World

pytestmark = pytest.mark.virtual(timeout=100_000)

IDS = {f"decl{n}" for n in range(3)}


def declared(world: World, **options: Any) -> Scheduler:
    """Build a peer that declares three jobs."""
    peer = world.build("p0", **options)
    for one in sorted(IDS):
        hourly = IntervalTrigger(seconds=3600)
        peer.declare(Job("work", id=one, trigger=hourly))
    return peer


def lose(store: MemoryJobStore, epoch: str) -> None:
    """Empty the store, as FLUSHALL does."""
    (space,) = store._spaces.values()
    space.shards[:] = [Shard() for _ in space.shards]
    space.executors.clear()
    space.epoch = epoch


async def there(peer: Scheduler) -> set[str]:
    return {job.id for job in await peer.get_jobs()}


SLOW = {"beat": 1800.0, "member_timeout": 14_400.0}
"""So that a week is not a hundred thousand beats."""


@pytest.mark.parametrize("failures", [1, 2, 10])
async def test_a_restore_that_fails_is_done_again(
    failures: int, caplog: pytest.LogCaptureFixture
) -> None:
    memory = MemoryJobStore()
    async with World(memory) as world:
        peer = declared(world)
        await world.start(peer)
        await asyncio.sleep(6)
        real, tried = peer._schedule_declared, 0

        async def fails(passing: type[Exception]) -> None:
            nonlocal tried
            tried += 1
            if tried <= failures:
                raise StoreUnavailableError("away for a moment")
            await real(passing)

        peer._schedule_declared = fails  # type: ignore[method-assign]
        lose(memory, "another")
        await asyncio.sleep(40)
        assert await there(peer) == IDS
        assert tried == failures + 1
        assert peer.health().ok
        lines = [getattr(one, "action", "") for one in caplog.records]
        assert lines.count("data_lost") == 1
        # One line for each change of state, and not one for each try.
        assert lines.count("service_down") == lines.count("service_up") <= 1


async def test_a_store_that_breaks_while_it_is_restored() -> None:
    memory = MemoryJobStore()
    store = FaultyStore(memory)
    async with World(store) as world:
        peer = declared(world)
        await world.start(peer)
        await asyncio.sleep(6)
        lose(memory, "another")
        store.plan(Fault("transact", nth=2), Fault("advertise", times=3))
        await asyncio.sleep(40)
        assert await there(peer) == IDS
        assert "work" in await peer._session.catalogue()  # type: ignore[union-attr]
        assert peer.health().ok


@pytest.mark.parametrize("losses", [1, 3])
async def test_a_further_loss_while_it_is_restored(losses: int) -> None:
    memory = MemoryJobStore()
    async with World(memory) as world:
        peer = declared(world)
        await world.start(peer)
        await asyncio.sleep(6)
        real, left = peer._schedule_one, losses

        async def slow(job: Job) -> None:
            nonlocal left
            if job.id == max(IDS) and left:
                left -= 1
                lose(memory, f"lost again {left}")
                await asyncio.sleep(6)  # so that a beat tells of it meanwhile
            await real(job)

        peer._schedule_one = slow  # type: ignore[method-assign]
        lose(memory, "another")
        await asyncio.sleep(60)
        assert not left
        assert await there(peer) == IDS


@pytest.mark.parametrize("run_jobs", [True, False])
async def test_a_client_puts_back_what_it_declares(run_jobs: bool) -> None:  # noqa: FBT001
    memory = MemoryJobStore()
    async with World(memory) as world:
        await world.peer("other")
        peer = declared(world, run_jobs=run_jobs)
        await world.start(peer)
        await asyncio.sleep(6)
        lose(memory, "another")
        await asyncio.sleep(12)
        assert await there(peer) == IDS


@pytest.mark.virtual(timeout=2_000_000)
async def test_executors_of_a_peer_that_lives_for_weeks_stay_known() -> None:
    """The catalogue forgets after a week; a client relies on it."""
    async with World(terms=SLOW) as world:
        await world.peer("p0")
        client = await world.start(world.build("c", work=False, run_jobs=False))
        session = client._session
        assert session is not None
        for _ in range(9):
            await asyncio.sleep(86_400)
            await session.sweep()
            assert set(await session.catalogue()) == {"work"}
        await client.schedule(Job("work", id="x", keyword="w"))


@pytest.mark.virtual(timeout=200_000)
async def test_executors_come_back_although_advertising_failed() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store, terms=SLOW) as world:
        peer = await world.peer("p0")
        session = peer._session
        assert session is not None
        store.plan(Fault("advertise", times=5))
        await asyncio.sleep(86_400 * 1.5)
        (known,) = (await session.catalogue()).values()
        assert session.estimate() - known.seen < 86_400 * 10**6
        assert peer.health().ok
