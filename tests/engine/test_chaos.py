"""Everything at once, by seed: crashes, stalls, faults; then the books are checked."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job, MemoryJobStore, Outcome, Retry
from aiosched.clock import seeded_ids
from aiosched.errors import AioschedError
from aiosched.ids import ids_from
from aiosched.testing import run_virtual
from aiosched.testing.faults import Fault, FaultyStore
from tests.engine.kit import World, adds_up, loop, now

OVERLAPS = ("skip", "queue", "allow", "cancel_previous")
LENGTH = 120.0


def jobs(chance: random.Random) -> list[Job]:
    """Return jobs of every overlap, some of which fail now and then."""
    return [
        Job(
            "work",
            id=f"{overlap}-{n}",
            keyword="k",
            trigger=IntervalTrigger(seconds=chance.choice((1, 2, 5))),
            overlap=overlap,  # type: ignore[arg-type]
            max_running=2 if overlap == "allow" else 1,
            kwargs={"seconds": chance.choice((0, 0.3, 1.5, 4))},
            timeout=chance.choice((None, 2)),
            retry=chance.choice((None, Retry(2, delay=1))),
            on_lost=chance.choice(("rerun", "record")),
            max_lost=100,
        )
        for overlap in OVERLAPS
        for n in range(2)
    ]


async def trouble(world: World, store: FaultyStore, chance: random.Random) -> None:
    """Do harm for a while, and heal everything."""
    count = 3
    while now() < LENGTH:
        await asyncio.sleep(chance.uniform(0.5, 8))
        living = sorted(world.peers.keys() - world._dead - {"client"})
        match chance.randrange(7):
            case 0 if len(living) > 1:
                world.crash(chance.choice(living))
                await fresh(world, f"p{count}")
                count += 1
            case 1:
                loop().stall(chance.choice(living), chance.uniform(1, 40))
            case 2:
                kind: Any = chance.choice(("refuse", "lost_reply"))
                store.plan(Fault("transact", kind=kind, times=chance.randrange(1, 9)))
            case 3:
                store.plan(Fault("*", kind="delay", seconds=2, times=20))
            case 4:
                store.plan(Fault("signals", kind="drop", times=30))
            case 5:
                store.plan(Fault("*", times=chance.randrange(1, 60)))
            case _:
                verb = chance.choice(("fire", "start", "stop", "pause", "modify"))
                with suppress(AioschedError, TimeoutError):
                    await meddle(world, verb, chance)
    store.heal()


async def fresh(world: World, name: str) -> None:
    try:
        await world.peer(name)
    except AioschedError:
        world._dead.add(name)


async def meddle(world: World, verb: str, chance: random.Random) -> None:
    client = world.peers["client"]
    name = f"{chance.choice(OVERLAPS)}-{chance.randrange(2)}"
    async with asyncio.timeout(5):
        if verb == "fire":
            await client.fire_job("k")
        elif verb == "start":
            await client.start_job(name)
        elif verb == "modify":
            await client.modify(name, note=str(now()))
        else:
            await (client.stop_job if verb == "stop" else client.pause)(name)
            await client.resume(name)


async def chaos(seed: int) -> World:
    chance = random.Random(seed)
    store = FaultyStore(MemoryJobStore(ids=seeded_ids(seed)))
    with ids_from(seeded_ids(seed)):
        async with World(store) as world:
            client = await world.peer("client", run_jobs=False)
            for n in range(3):
                await world.peer(f"p{n}")
            given = jobs(chance)
            await client.schedule_many(given)
            await trouble(world, store, chance)
            for job in given:
                await client.resume(job)  # what a fault kept from being resumed
            await asyncio.sleep(100)
            # Settled down: every peer is well, and late slots have been made good.
            for name in world.peers.keys() - world._dead:
                assert world.peers[name].health().ok, (name, world.peers[name].health())
            for job in given:
                recent = [r for r in world.of(job) if r.at > now() - 20]
                assert recent, f"{job.id} has stopped"
                if job.overlap == "skip":
                    late = [r.at - r.fire_time for r in recent if r.attempt == 1]
                    assert max(late) < 1
                await client.stop_job(job)
            await client.drain(timeout=300)
            for job in given:
                await balance(world, job)
            return world


async def balance(world: World, job: Job) -> None:
    """Check a job's sums against its ledger and against what was seen to run."""
    client = world.peers["client"]
    stored = await client.get_job(job.id)
    adds_up(stored)
    counts = stored.counts
    assert counts.fired + counts.asked == counts.outcomes
    entries = await client.history(job.id, limit=100_000)
    finals = [e.run for e in entries if e.run is not None and e.run.final]
    keys = Counter(run.key for run in finals)
    assert max(keys.values()) == 1, "two outcomes of one firing"
    assert len(finals) == counts.outcomes
    passed = sum(e.count for e in entries if e.run is None)
    assert passed == counts.skipped + counts.missed + counts.paused
    ran = Counter((one.key, one.fence) for one in world.of(job))
    assert max(ran.values()) == 1, "one claim ran twice"
    for run in finals:
        if run.outcome is Outcome.SUCCEEDED:
            assert (run.key, run.fence) in ran


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_the_books_balance(seed: int) -> None:
    run_virtual(lambda: chaos(seed), seed=seed, timeout_virtual=2_000)
