"""Peers put the index right: whatever it has lost, every job runs again in a minute."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from aiosched import Event, IntervalTrigger, Job, MemoryJobStore
from aiosched._engine import mending
from aiosched.abc import Mended
from aiosched.clock import seeded_ids
from aiosched.stores.space import Space
from aiosched.testing import Fault, FaultyStore
from tests.engine.kit import World, adds_up, now

pytestmark = pytest.mark.virtual(timeout=100_000)

JOBS = 40


def space_of(world: World) -> Space:
    store = world.store
    if isinstance(store, FaultyStore):
        store = store.inner
    assert isinstance(store, MemoryJobStore)
    (space,) = store._spaces.values()
    return space


def job(number: int) -> Job:
    return Job(
        "work",
        id=f"j-{number}",
        trigger=IntervalTrigger(seconds=5),
        keyword=f"word-{number % 3}",
        queue=f"q{number % 2}",
        kwargs={"value": number},
    )


def agendas_gone(space: Space) -> None:
    for shard in space.shards:
        shard.agendas.clear()
        shard.at.clear()


def never(space: Space) -> None:
    """Have every job stand where nobody looks for it."""
    for shard in space.shards:
        for job_id, record in shard.records.items():
            queue = record.definition.spec.queue
            shard.place(job_id, queue, queue, 2**61)


def half_of_them(space: Space) -> None:
    chance = random.Random(7)
    for shard in space.shards:
        for job_id, record in shard.records.items():
            if chance.random() < 0.5:
                queue = record.definition.spec.queue
                shard.place(job_id, queue, queue, None)


def words_gone(space: Space) -> None:
    space.keywords.clear()


def queues_gone(space: Space) -> None:
    space.queues.clear()


DAMAGE = [agendas_gone, never, half_of_them, words_gone, queues_gone]


@pytest.mark.parametrize("damage", DAMAGE)
async def test_every_job_runs_again_within_a_minute(damage: Any) -> None:
    async with World() as world:
        peers = [await world.peer(f"p{n}") for n in range(3)]
        told: list[Event] = []
        for peer in peers:
            peer.on("index_mended", told.append)
        await asyncio.sleep(1)
        for number in range(JOBS):
            await peers[0].schedule(job(number))
        await asyncio.sleep(32)  # between two slots
        assert not told, "nothing was wrong"
        space = space_of(world)
        damage(space)
        # What peers hold in mind would hide it: newcomers hold nothing.
        for peer in peers:
            world.crash(peer.name)
        await world.peer("p9")
        world.peers["p9"].on("index_mended", told.append)
        since = now()
        await asyncio.sleep(60)
        ran = {run.job for run in world.runs if run.at >= since}
        assert ran == {f"j-{n}" for n in range(JOBS)}
        assert told
        assert {name for event in told for name in event.data["jobs"]} <= ran
        for word in range(3):
            assert await world.peers["p9"].fire_job(f"word-{word}", {}), "it is heard"
        for number in range(JOBS):
            adds_up(await world.peers["p9"].get_job(f"j-{number}"))
        for shard in range(64):
            assert not space_mended_again(space, shard)


def space_mended_again(space: Space, shard: int) -> list[str]:
    from aiosched.stores.rederive import rederive

    return rederive(space, shard)


async def test_one_peer_mends_and_another_follows_it() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        for name in ("p0", "p1", "p2"):
            await world.peer(name, ids=seeded_ids(hash(name) % 97))
        client = await world.peer("client", run_jobs=False)
        await asyncio.sleep(11)
        leading = [name for name, peer in world.peers.items() if peer._engine.leads()]
        assert len(leading) == 1
        assert "client" not in leading
        before = store.calls["mend"]
        await asyncio.sleep(200)
        assert store.calls["mend"] - before == 10, "every 20 s, by one of them"
        world.crash(leading[0])
        await asyncio.sleep(30)
        now_leading = [
            name
            for name, peer in world.peers.items()
            if name not in leading and peer._engine.leads()
        ]
        assert len(now_leading) == 1
        assert client.health().ok


async def test_an_outage_in_the_middle_of_mending_is_waited_out() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        peer = await world.peer("p0")
        await peer.schedule(job(1))
        store.plan(Fault("mend", times=3))
        await asyncio.sleep(120)
        assert not store.unused
        agendas_gone(space_of(world))
        await asyncio.sleep(60)
        assert peer.health().ok
        assert not space_mended_again(space_of(world), 0)


@pytest.mark.parametrize(
    ("steps", "cost", "seconds", "rate"),
    [
        (1, 7, 20, 1.0),  # 1,000 jobs
        (5, 7, 55, 1.0),  # 10,000
        (50, 20, 60, 30.0),  # 100,000
        (500, 20, 300, 40.0),  # 1,000,000
    ],
)
def test_no_pass_takes_long_or_costs_much(
    steps: int, cost: int, seconds: float, rate: float
) -> None:
    """The first hurries; then as slowly as fits into a minute, with a most."""
    pace = mending.Pace()
    for turn in range(3):
        told = [Mended(cost=cost, complete=n == steps) for n in range(1, steps + 1)]
        waits = [pace.after(one) for one in told]
        assert sum(waits) <= seconds
        assert mending.TURN <= waits[-1] <= mending.LONGEST
        if turn:
            spent = cost * steps / sum(waits)
            assert spent <= rate
        for one, wait in zip(told, waits, strict=True):
            assert one.cost / wait <= mending.MOST


async def test_what_one_peer_does_needs_nobody_who_serves_the_default_queue() -> None:
    store = FaultyStore(MemoryJobStore())
    async with World(store) as world:
        for name in ("p0", "p1"):
            await world.peer(name, queues=["other"])
        await asyncio.sleep(3_700)
        assert store.calls["sweep"] == 1
        assert store.calls["mend"] > 100
