"""Nothing is left behind; and the same seed tells the same story."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from aiosched import IntervalTrigger, Job, MemoryJobStore, Retry, Scheduler
from aiosched.clock import seeded_ids
from aiosched.ids import ids_from
from aiosched.testing import run_virtual
from tests.engine.kit import World, after

virtual = pytest.mark.virtual(timeout=100_000)


def remains(scheduler: Scheduler) -> dict[str, Any]:
    """Return everything in a peer that ought to be empty when it is idle."""
    engine = scheduler._engine
    assert engine is not None
    held = {
        "runs": list(engine.runner.live),
        "waiters": engine.completions._waiters,
        "asked": engine.completions._asked,
        "ready": engine.settler._ready,
        "settling": engine.settler._writers,
        "attending": engine.timer._busy,
        "held": engine.heads._held,
        "claiming": engine.timer.claiming,
        "reserved": engine.attender._reserved,
        "leases": engine.attender._leases,
        "handlers": scheduler._bus._tasks,
    }
    return {name: what for name, what in held.items() if what}


async def story(world: World) -> None:
    """Let three peers do a bit of everything."""
    for n in range(3):
        await world.peer(f"p{n}")
    client = await world.peer("client", run_jobs=False)
    await asyncio.sleep(6)
    trigger = IntervalTrigger(seconds=1)
    for n, overlap in enumerate(("skip", "queue", "allow", "cancel_previous")):
        job = Job(
            "work",
            id=overlap,
            trigger=trigger,
            overlap=overlap,  # type: ignore[arg-type]
            kwargs={"seconds": 0.7 * (n + 1)},
            max_runs=15,
        )
        await client.schedule(job)
    await client.schedule(Job("work", id="word", keyword="k"))
    await client.schedule(
        Job(
            "work", id="late", timeout=1, kwargs={"seconds": 9}, retry=Retry(3, delay=1)
        )
    )
    for _ in range(20):
        await client.fire_job("k", {"seconds": 0.3})
        await asyncio.sleep(0.61)
    await client.stop_job("queue")
    await client.remove_job("skip")
    await client.drain(timeout=500)


@virtual
async def test_an_idle_peer_holds_nothing() -> None:
    async with World() as world:
        await story(world)
        await asyncio.sleep(60)
        for peer in world.peers.values():
            assert remains(peer) == {}


@virtual
@pytest.mark.parametrize("force", [False, True])
async def test_nothing_is_left_after_a_shutdown(*, force: bool) -> None:
    before = asyncio.all_tasks()
    store = MemoryJobStore()
    async with World(store) as world:
        await story(world)
        await world.peers["p0"].schedule(Job("work", id="x", kwargs={"seconds": 9}))
        await asyncio.sleep(1)
        for peer in world.peers.values():
            await peer.shutdown(force=force)
            assert remains(peer) == {}
        assert asyncio.all_tasks() == before
        assert store.sessions == 0
        (space,) = store._spaces.values()
        assert space.listeners == []
        assert space.members == {}


@virtual
async def test_a_peer_does_not_grow_with_far_jobs() -> None:
    async with World(terms={"shards": 4}) as world:
        p0, p1 = await world.peer("p0"), await world.peer("p1")
        jobs = [Job("work", when=after(9_000 + n)) for n in range(5_000)]
        await p0.schedule_many(jobs)
        await asyncio.sleep(60)
        for peer in (p0, p1):
            assert peer._engine is not None
            assert len(peer._engine.heads) <= 4 * 200


@virtual
async def test_a_scheduler_can_be_collected_when_it_is_closed() -> None:
    before = len([o for o in gc.get_objects() if isinstance(o, Scheduler)])
    for _ in range(3):
        async with World() as world:
            p0 = await world.peer()
            await p0.result(await p0.schedule(Job("work")))
        del world, p0
    await asyncio.sleep(1)
    gc.collect()
    after_all = [o for o in gc.get_objects() if isinstance(o, Scheduler)]
    assert len(after_all) <= before + 1


def trace() -> list[list[Any]]:
    """Return what happens in the story, run by run."""

    async def main() -> list[list[Any]]:
        with ids_from(seeded_ids(7)):
            store = MemoryJobStore(ids=seeded_ids(8))
            async with World(store) as world:
                await story(world)
                return [
                    [
                        ran.peer,
                        ran.job,
                        ran.key,
                        ran.attempt,
                        ran.fence,
                        ran.at,
                        ran.until,
                    ]
                    for ran in world.runs
                ]

    return run_virtual(main, seed=5)


def test_the_same_seeds_tell_the_same_story() -> None:
    first = trace()
    assert first == trace()
    assert len(first) > 40


def test_the_order_of_hashes_does_not_matter() -> None:
    code = "from tests.engine.test_leaks import trace; print(json.dumps(trace()))"
    told = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", f"import json; {code}"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        told.append(json.loads(done.stdout))
    assert told[0] == told[1]
