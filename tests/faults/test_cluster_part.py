"""One master of a cluster is away, and nobody takes its place.

What the others have goes on meanwhile, in every respect: beats, claims, leases,
outcomes, signals.  What it has itself goes on when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from aiosched import IntervalTrigger, Job, RedisJobStore, Scheduler
from aiosched.abc import shard_of
from aiosched.stores.redis.cluster import slot_of
from aiosched.stores.redis.keys import Keys
from tests.clusters import Cluster
from tests.faults.crew import LEASE, TERMS, Crew
from tests.servers import Binary, Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(180)]

EVERY = 0.2
SHARDS: int = TERMS["shards"]
KEYS = Keys("crew", SHARDS)


@pytest.fixture
def cluster(binary: Binary) -> Iterator[Cluster]:
    """Three masters that serve what they have while others are away."""
    options = {
        "cluster-require-full-coverage": "no",
        "appendonly": "yes",
        "appendfsync": "always",
    }
    with Cluster(binary, node_timeout=1_000, options=options) as one:
        yield one


@asynccontextmanager
async def killed(server: Server) -> AsyncIterator[None]:
    """The process is gone: connecting is refused."""
    server.kill()
    yield
    await asyncio.to_thread(server.start)


@asynccontextmanager
async def stopped(server: Server) -> AsyncIterator[None]:
    """The process is there, takes connections, and answers nobody."""
    with server.paused():
        yield


FAULTS = {"killed": killed, "stopped": stopped}


def homes(cluster: Cluster) -> dict[int, Server]:
    """Return the master of each shard."""
    return {n: cluster.master_of(slot_of(KEYS.tags[n])) for n in range(SHARDS)}


def named(prefix: str, shard: int) -> str:
    """Return an id of a shard."""
    numbers = iter(range(100_000))
    names = (f"{prefix}-{number}" for number in numbers)
    return next(name for name in names if shard_of(name, SHARDS) == shard)


def opened(cluster: Cluster) -> RedisJobStore:
    return RedisJobStore(
        cluster.url,
        exchange_timeout=0.5,
        socket_connect_timeout=0.5,
        resolve_timeout=1.0,
    )


async def scheduled(client: Scheduler, found: dict[int, Server]) -> dict[int, str]:
    """Schedule a job in each shard, due five times a second."""
    start = datetime.now(UTC) + timedelta(seconds=0.3)
    trigger = IntervalTrigger(seconds=EVERY, start=start)
    ids = {shard: named("job", shard) for shard in found}
    for job_id in ids.values():
        await client.schedule(Job("tick", trigger=trigger, id=job_id))
    return ids


def away(server: Server, kind: str) -> AbstractAsyncContextManager[None]:
    return FAULTS[kind](server)


async def test_what_other_masters_have_goes_on(
    cluster: Cluster, *, long_run: bool
) -> None:
    found = homes(cluster)
    common = cluster.master_of(slot_of(KEYS.meta))
    victim = next(one for one in found.values() if one is not common)
    async with Crew(lambda: opened(cluster)) as crew:
        for _ in range(2):
            await crew.peer()
        client = await crew.client()
        ids = await scheduled(client, found)
        hurt = [ids[shard] for shard, one in found.items() if one is victim]
        whole = [ids[shard] for shard, one in found.items() if one is not victim]
        await crew.until_ran(*ids.values(), times=2)
        for kind in [*FAULTS] * 3 if long_run else FAULTS:
            await go_on_without(crew, client, victim, kind, whole, hurt)
            await crew.until_ran(*ids.values(), times=3)
        assert not crew.events("lapsed", "data_lost", "service_failed", "unreadable")
        for job_id in ids.values():
            await client.pause(job_id)
        await client.drain(timeout=30)
        assert await crew.judged(client, excused=True, every=EVERY) == []


async def go_on_without(
    crew: Crew,
    client: Scheduler,
    victim: Server,
    kind: str,
    whole: list[str],
    hurt: list[str],
) -> None:
    """Take a master away for a while, and see that the others' jobs go on."""
    # Two leases long: they must be extended beside those that cannot be.
    marked = f"{kind}-{len(crew.told)}"
    kept, other = (named(marked, shard_of(x[0], SHARDS)) for x in (whole, hurt))
    for job_id in (kept, other):
        await client.schedule(Job("tick", id=job_id, kwargs={"secs": 2 * LEASE}))
    await crew.until_ran(kept, other)
    began = monotonic()
    async with away(victim, kind):
        await crew.until_ran(*whole, times=15, since=began)
        # What is written meanwhile is heard of meanwhile.
        fresh = named(f"fresh-{marked}", shard_of(whole[0], SHARDS))
        await client.schedule(Job("tick", id=fresh))
        await crew.until_ran(fresh, since=began)
        await wait_until(lambda: bool(crew.ran(kept)[0].ended), "its end")
        await crew.until_told("store_down", since=began, by=2)
        assert not any(
            one.health().ok for one in crew.peers.values() if one is not client
        )
    ended = monotonic()
    await crew.until_ran(*whole, *hurt, times=3, since=ended)
    await crew.until_well()
    # It is told with the next beat; an outage before that would be the same one.
    await crew.until_told("store_up", since=ended, by=2)
    assert [ran.attempt for ran in crew.ran(kept)] == [1], "its lease ended"
    told = crew.events("store_down", since=began)
    assert len(told) == len({one.peer for one in told}), "not once each"


async def test_the_master_of_the_members_is_away(cluster: Cluster) -> None:
    """Nobody can beat, so nobody claims; what runs keeps its lease and its outcome."""
    found = homes(cluster)
    victim = cluster.master_of(slot_of(KEYS.meta))
    shard = next(n for n, one in found.items() if one is not victim)
    async with Crew(lambda: opened(cluster)) as crew:
        for _ in range(2):
            await crew.peer()
        client = await crew.client()
        ids = await scheduled(client, found)
        await crew.until_ran(*ids.values(), times=2)
        kept = named("long", shard)
        await client.schedule(Job("tick", id=kept, kwargs={"secs": 3 * LEASE}))
        await crew.until_ran(kept)
        began = monotonic()
        async with killed(victim):
            await crew.until_told("store_down", since=began, by=3)
            await wait_until(lambda: bool(crew.ran(kept)[0].ended), "its end")
            ran = crew.ran(since=began + 2.0)
            assert ran == [], "claimed by peers that cannot beat"
        ended = monotonic()
        await crew.until_ran(*ids.values(), times=5, since=ended)
        await crew.until_well()
        assert [one.attempt for one in crew.ran(kept)] == [1], "its lease ended"
        assert not crew.events("data_lost", "service_failed", "unreadable")
        for job_id in ids.values():
            await client.pause(job_id)
        await client.drain(timeout=30)
        assert await crew.judged(client, excused=True, every=EVERY) == []
