"""A master dies whose replica had not got the last writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from aiosched.abc import Beat, Member
from aiosched.errors import StoreUnavailableError
from aiosched.stores.redis.cluster import slot_of
from aiosched.stores.redis.keys import Keys
from aiosched.stores.redis.store import RedisSession
from aiosched.testing.contract_decisions import claim, create, ids_in, settle, touch
from tests.clusters import Cluster
from tests.crash.conftest import binary, pytest_generate_tests
from tests.servers import Binary, Server
from tests.stores.redis.wire import Cut, opened
from tests.waiting import wait_until

__all__ = ["binary", "pytest_generate_tests"]  # a server by turns; --long: all

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

SHARD = 21
SLOT = slot_of(Keys("t", 64).tags[SHARD])
IDS = ids_in(SHARD, 3, shards=64)
MEMBER = Member("me", "name", None, (), True)


@pytest.fixture
def replicated(binary: Binary) -> Iterator[Cluster]:
    """Three masters, each with a replica, which may be killed."""
    with Cluster(binary, replicas=1, node_timeout=1_000) as one:
        yield one


def on(cluster: Cluster, **options: Any) -> AbstractAsyncContextManager[RedisSession]:
    return opened(cluster.url, shards=64, **options)


def cut_off(master: Server) -> None:
    """Let nothing that is written from now on reach the replica."""
    master.command("ACL", "SETUSER", "default", "-psync", "-sync")
    master.command("CLIENT", "KILL", "TYPE", "replica")


async def replaced(cluster: Cluster, master: Server) -> None:
    """Kill a master, and wait until its replica has taken its place."""
    master.kill()
    await wait_until(lambda: cluster.promoted(master), "a new master", timeout=30)


@pytest.mark.parametrize("step", ["before", "after"])
async def test_an_exec_whose_master_died(replicated: Cluster, step: str) -> None:
    """Sent or not, executed or not: the new master does not know of it."""
    master = replicated.master_of(SLOT)

    async def die() -> None:
        await replaced(replicated, master)

    cut = Cut(die)
    async with on(replicated, connection_factory=cut) as session:
        await session.transact(IDS, create(at=1))
        await asyncio.to_thread(replicated.wait_arrived, master)
        cut_off(master)
        cut.plan = [step]
        changes = await session.transact(IDS, claim("me"))
        assert cut.plan == []
        fences = {one: change.starts[0].run.fence for one, change in changes.items()}
        assert set(fences) == set(IDS)
        records = await session.read(IDS)
        live = {one: [run.fence for run in records[one].state.runs] for one in IDS}
        assert live == {one: [fence] for one, fence in fences.items()}
        assert session.counters.unknown == 1
        for one, fence in fences.items():
            assert set(await session.transact([one], settle("me", fence))) == {one}
        rows = await session.ledger(limit=100)
        assert sorted(row.job_id for row in rows if row.final) == sorted(IDS)


async def test_a_claim_that_was_confirmed_and_lost(replicated: Cluster) -> None:
    """It runs twice, the second time with a higher fence, and has one outcome."""
    master = replicated.master_of(SLOT)
    async with on(replicated) as one, on(replicated) as two:
        await one.transact(IDS[:1], create(at=1))
        await asyncio.to_thread(replicated.wait_arrived, master)
        cut_off(master)
        first = await one.transact(IDS[:1], claim("me"))
        before = first[IDS[0]].starts[0].run.fence
        await replaced(replicated, master)
        second = await two.transact(IDS[:1], claim("you"))
        after = second[IDS[0]].starts[0].run.fence
        assert after > before
        assert await one.transact(IDS[:1], settle("me", before)) == {}
        assert set(await two.transact(IDS[:1], settle("you", after))) == {IDS[0]}
        rows = [row for row in await two.ledger(limit=100) if row.final]
        assert [(row.owner, row.fence) for row in rows] == [("you", after)]


async def test_commits_that_were_confirmed_and_lost(replicated: Cluster) -> None:
    """A session misses what it was told is written, within one beat."""
    master = replicated.master_of(SLOT)
    async with on(replicated) as session:
        await session.transact(IDS[:1], create(at=1))
        epoch = (await session.beat(Beat(MEMBER, "me", (SHARD,)))).epoch
        await asyncio.to_thread(replicated.wait_arrived, master)
        cut_off(master)
        await session.transact(IDS[1:], create(at=1))
        await replaced(replicated, master)
        assert set(await session.read(IDS)) == set(IDS[:1])
        pulse = await session.beat(Beat(MEMBER, "me", (SHARD,)))
        assert pulse.epoch != epoch


async def test_a_silent_home_keeps_no_lane_of_others(binary: Binary) -> None:
    """A new keyword is entered there before the transaction of another master."""
    limits = {"exchange_timeout": 0.5, "socket_connect_timeout": 0.5}
    with Cluster(binary, node_timeout=15_000) as cluster:
        keys = Keys("t", 64)
        home = cluster.master_of(slot_of(keys.meta))
        owners = [cluster.master_of(slot_of(tag)) for tag in keys.tags]
        shard = next(n for n in range(64) if owners[n].port != home.port)
        old, new = ids_in(shard, 2, shards=64)
        async with on(cluster, lanes=1, **limits) as one:
            await one.transact([old], create(5))
            with home.paused():
                waiting = asyncio.create_task(
                    one.transact([new], create(5, keyword="word"))
                )
                while not waiting.done():
                    assert set(await one.transact([old], touch(7))) == {old}
                    await asyncio.sleep(0)  # lanes go to whoever asks next
                with pytest.raises(StoreUnavailableError):
                    await waiting
                # Nor is this one blamed for it afterwards.
                assert set(await one.transact([old], touch(7))) == {old}

            def entered() -> bool:
                return home.port not in {
                    node.port
                    for node, (until, _) in away.items()
                    if one._link.clock.monotonic() < until
                }

            away = one._link.wiring.topology.away  # type: ignore[attr-defined]
            await wait_until(entered, "the home node is asked again", timeout=30)
            assert set(await one.transact([new], create(5, keyword="word"))) == {new}
            assert await one.by_keyword("word") == [new]
