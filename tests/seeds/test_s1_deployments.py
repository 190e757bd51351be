"""Rows of the first seed: one server, a master with replicas, a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic

import pytest

from aiosched import (
    ConfigurationError,
    IntervalTrigger,
    Job,
    RedisJobStore,
    Scheduler,
    StoreUnavailableError,
)
from tests.clusters import Cluster
from tests.seeds.stage import Stage
from tests.sentinels import Watched
from tests.servers import Binary
from tests.waiting import wait_until

pytestmark = pytest.mark.crash

TICK = IntervalTrigger(milliseconds=200)


# --- S1-02: a cluster ---


@pytest.mark.seed("S1-02")
async def test_everything_is_done_on_a_cluster(
    cluster: Cluster, cluster_url: str
) -> None:
    """The whole store contract is run on clusters by ``tests/contract``."""
    async with Stage(cluster_url) as stage:
        client, worker = await stage.two()
        jobs = [Job("note", id=f"n{number}") for number in range(24)]
        await client.schedule_many(jobs)
        for job in jobs:
            assert (await client.wait(job.id, timeout=20)).outcome == "succeeded"
        await client.schedule(Job("note", id="tick", trigger=TICK, max_runs=3))
        await client.schedule(Job("hold", id="held", keyword="k"))
        await client.fire_job("k")
        await stage.begun("held")
        await stage.begun("tick", 3)
        stage.gate.set()
        await worker.shutdown()
    # One namespace lies on all masters, another one beside it hears nothing of it.
    sizes = [int(str(one.command("DBSIZE"))) for one in cluster.current_masters()]
    assert all(sizes), sizes
    async with Stage(cluster_url, namespace="other") as other:
        client, _ = await other.two()
        assert await client.get_jobs() == []


# --- S1-22: connections that contradict themselves ---


@pytest.mark.seed("S1-22")
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+cluster://a,b/1", "has none but 0"),
        ("redis+cluster://", "has an empty host"),
        ("redis+sentinel://a,b", "does not name the master"),
        ("redis://a,b", "does not name one host"),
        ("redis+replica://a", "no store is known for redis+replica://"),
    ],
)
def test_a_url_that_contradicts_itself_is_refused_when_it_is_given(
    url: str, words: str
) -> None:
    for build in (Scheduler, RedisJobStore):
        with pytest.raises(ConfigurationError) as caught:
            build(url)
        said = str(caught.value)
        assert url in said
        assert words in said or build is RedisJobStore
        assert "redis+cluster://" in said or "write " in said or "leave it out" in said


# --- S1-23: a master and its replicas ---


@pytest.fixture
def watched(cluster_kind: Binary) -> Iterator[Watched]:
    """A master with a replica, and three sentinels."""
    with Watched(cluster_kind) as started:
        yield started


@pytest.mark.seed("S1-23")
async def test_writes_go_to_the_master_whoever_it_is(watched: Watched) -> None:
    async with Stage(watched.url) as stage:
        client, _ = await stage.two()
        await client.schedule(Job("note", id="tick", trigger=TICK))
        await stage.begun("tick", 2)
        await asyncio.to_thread(watched.fail_over)
        before = len(stage.of("tick"))
        await stage.begun("tick", before + 3)
        await client.schedule(Job("note", id="after"))
        assert (await client.wait("after", timeout=20)).outcome == "succeeded"
        # A replica that had not got the last writes may grant a slot once more.
        fences = [ran.fence for ran in stage.of("tick")]
        assert len(fences) == len(set(fences))


@pytest.mark.seed("S1-23")
async def test_a_replica_is_told_from_its_master(watched: Watched) -> None:
    [replica] = watched.replicas()
    scheduler = Scheduler(f"redis://127.0.0.1:{replica.port}", namespace="seeds")
    with pytest.raises(StoreUnavailableError, match=r"READONLY|replica"):
        await scheduler.start()
    await scheduler.shutdown()


# --- S1-24: one name for a service ---


@pytest.fixture
def replicated(cluster_kind: Binary) -> Iterator[Cluster]:
    """Three masters with a replica each."""
    with Cluster(cluster_kind, replicas=1, node_timeout=1_000) as started:
        yield started


@pytest.mark.seed("S1-24")
async def test_the_next_tick_fires_after_the_failover(replicated: Cluster) -> None:
    """The URL has one name, of a node that stays; the others are learnt of."""
    victim, *_, known = [*replicated.masters, *replicated.replicas]
    async with Stage(f"redis+cluster://localhost:{known.port}") as stage:
        client, _ = await stage.two()
        names = [f"tick{number}" for number in range(12)]
        for name in names:
            await client.schedule(Job("note", id=name, trigger=TICK))
        for name in names:
            await stage.begun(name)
        victim.kill()
        await wait_until(
            lambda: replicated.promoted(victim), "a new master", timeout=30
        )
        counts = {name: len(stage.of(name)) for name in names}
        since = monotonic()
        for name in names:
            await stage.begun(name, counts[name] + 2)
        assert monotonic() - since < 60
    with pytest.raises(ConfigurationError, match="has none but 0"):
        Scheduler(f"redis+cluster://localhost:{known.port}/3")
