"""The store on a cluster: routing, slots that move, redirections, signals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from aiosched.abc import Beat, Member, Signal, SignalStream, shard_of
from aiosched.errors import ConfigurationError, StoreUnavailableError
from aiosched.stores.redis import cluster as room
from aiosched.stores.redis.cluster import slot_of
from aiosched.stores.redis.keys import Keys
from aiosched.stores.redis.store import RedisJobStore, RedisSession
from aiosched.testing.contract_decisions import claim, create, ids_in, settle, touch
from tests.clusters import Cluster
from tests.servers import Server
from tests.stores.redis.wire import Cut, Spy, opened
from tests.waiting import wait_until

KEYS = Keys("t", 64)


def ids_on(shards: Sequence[int], each: int) -> list[str]:
    return [one for shard in shards for one in ids_in(shard, each, shards=64)]


def shard_slot(shard: int) -> int:
    return slot_of(KEYS.tags[shard])


@asynccontextmanager
async def session_on(url: str, **options: Any) -> AsyncIterator[RedisSession]:
    async with opened(url, shards=64, **options) as session:
        yield session


async def write_jobs(session: RedisSession, ids: Sequence[str]) -> None:
    shards: dict[int, list[str]] = {}
    for one in ids:
        shards.setdefault(shard_of(one, 64), []).append(one)
    for some in shards.values():
        await session.transact(some, create(at=1))


def redirections(cluster: Cluster) -> int:
    """Return how often the nodes have sent somebody elsewhere."""
    said = "\n".join(
        str(one.command("INFO", "errorstats")) for one in cluster.current_masters()
    )
    lines = [line for line in said.splitlines() if line.startswith("errorstat_")]
    wrong = ("MOVED", "ASK", "TRYAGAIN", "CROSSSLOT")
    return sum(
        int(line.rpartition("=")[2]) for line in lines if line[10:].startswith(wrong)
    )


def other_than(cluster: Cluster, one: Server) -> Server:
    return next(each for each in cluster.current_masters() if each is not one)


async def aside(work: Callable[[], object]) -> None:
    """Do what the test does to the cluster while the loop goes on."""
    await asyncio.to_thread(work)


# --- slots -------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="{}ab:0\u00e9", max_size=12))
def test_slots_are_those_of_the_driver(key: str) -> None:
    assert slot_of(key) == slot_of(key.encode()) == key_slot(key.encode())


def test_slots_are_those_of_the_server(cluster: Cluster) -> None:
    keys = ["", "{}", "{}a", "a{b}c", "a{b", "a}b{c}", "{{a}}", "{a}{b}", *KEYS.tags]
    asked = [cluster.masters[0].command("CLUSTER", "KEYSLOT", key) for key in keys]
    assert [slot_of(key) for key in keys] == asked


def test_one_slot_for_all_keys_of_a_shard() -> None:
    for shard in range(64):
        names = {
            KEYS.job(shard, "a{b}c"),
            KEYS.agenda(shard, "{q}"),
            KEYS.spec(shard, "x"),
            KEYS.blob(shard, "d", "{id}"),
            KEYS.shared(shard),
            KEYS.subscribers(shard, "{word}"),
            KEYS.ledger(shard),
            KEYS.rev(shard),
            KEYS.changed(shard),
            KEYS.done(shard),
        }
        assert {slot_of(name) for name in names} == {shard_slot(shard)}
    common = [KEYS.meta, KEYS.members, KEYS.queues, KEYS.executors, KEYS.canary]
    common.append(KEYS.keyword_shards("{word}"))
    assert len({slot_of(name) for name in common}) == 1


# --- jobs are spread, and nothing goes astray -----------------------------------------


async def test_jobs_spread_over_all_masters(cluster: Cluster, cluster_url: str) -> None:
    ids = [f"job-{number}" for number in range(300)]
    async with session_on(cluster_url) as session:
        await write_jobs(session, ids)
        assert set(await session.read(ids)) == set(ids)
    held = []
    for one in cluster.masters:
        names = one.command("KEYS", "{t:*}:j:*")
        assert isinstance(names, list)
        held.append(len(names))
    assert sum(held) == 300
    assert min(held) > 30, held


async def test_a_known_map_sends_nothing_astray(
    cluster: Cluster, cluster_url: str
) -> None:
    spy = Spy()
    ids = ids_on(range(64), 2)
    async with session_on(cluster_url, connection_factory=spy) as session:
        before = redirections(cluster)
        await write_jobs(session, ids)
        heads = [(shard, "default") for shard in range(64)]
        found = await session.agenda(heads)
        assert sum(len(head.entries) for head in found) == len(ids)
        member = Member("me", "n", None, (), True)
        pulse = await session.beat(Beat(member, "me", tuple(range(64))))
        assert all(pulse.revs[shard] >= 1 for shard in range(64))
        await session.transact(ids[:2], claim("me"))
        page = await session.list(limit=1000)
        assert {one.definition.id for one in page.records} == set(ids)
        assert await session.sweep() == 0
        assert redirections(cluster) == before
    for packet in spy.transactions():
        slots = {slot_of(words[1]) for words in packet}
        assert len(slots) == 1, "a transaction of two slots"


async def test_commands_of_a_job_are_those_of_one_server(
    cluster_url: str, redis_url: str
) -> None:
    """A cluster costs a job nothing beyond what it costs on one server."""
    said = []
    for url in (redis_url, cluster_url):
        spy = Spy()
        async with session_on(url, connection_factory=spy) as session:
            ids = ids_in(3, 20, shards=64)
            await session.transact(ids, create(at=1))
            spy.packets.clear()
            changes = await session.transact(ids, claim("me"))
            fences = {one: c.starts[0].run.fence for one, c in changes.items()}
            one, fence = next(iter(fences.items()))
            await session.transact([one], settle("me", fence))
            said.append([name.replace("SPUB", "PUB") for name in spy.names()])
    assert said[0] == said[1]


# --- slots that move ---------------------------------------------------------------


async def test_reading_goes_on_while_a_slot_moves(
    cluster: Cluster, cluster_url: str
) -> None:
    ids = ids_on([5], 30)
    slot = shard_slot(5)
    async with session_on(cluster_url) as session:
        await write_jobs(session, ids)
        target = other_than(cluster, cluster.master_of(slot))
        source = cluster.import_slot(slot, target)
        while True:
            assert set(await session.read([*ids, "nobody"])) == set(ids)
            (head,) = await session.agenda([(5, "default")])
            assert {one for one, _ in head.entries} == set(ids)
            assert len((await session.list(limit=100)).records) == len(ids)
            await session.beat(Beat(None, "me", (5,)))
            if not cluster.move_keys(slot, source, target, 7):
                break
        cluster.settle_slot(slot, source, target)
        assert set(await session.read(ids)) == set(ids)
        assert cluster.master_of(slot) is target


async def test_reading_goes_on_while_the_common_slot_moves(
    cluster: Cluster, cluster_url: str
) -> None:
    slot = slot_of(KEYS.meta)
    async with session_on(cluster_url) as session:
        member = Member("me", "n", None, (), True)
        await session.beat(Beat(member, "me", (1, 2)))
        target = other_than(cluster, cluster.master_of(slot))
        source = cluster.import_slot(slot, target)
        while True:
            pulse = await session.beat(Beat(member, "me", (1, 2)))
            assert [one.id for one in pulse.members] == ["me"]
            if not cluster.move_keys(slot, source, target, 1):
                break
        cluster.settle_slot(slot, source, target)
        epoch = pulse.epoch
        pulse = await session.beat(Beat(member, "me", (1, 2)))
        assert pulse.epoch == epoch


async def test_a_transaction_waits_for_its_slot(
    cluster: Cluster, cluster_url: str
) -> None:
    ids = ids_on([7], 40)
    slot = shard_slot(7)
    async with session_on(cluster_url) as session:
        await write_jobs(session, ids[:30])
        target = other_than(cluster, cluster.master_of(slot))
        source = cluster.import_slot(slot, target)
        cluster.move_keys(slot, source, target, 15)
        writing = asyncio.create_task(session.transact(ids[20:], create(at=2)))
        claiming = asyncio.create_task(session.transact(ids[:10], claim("me")))
        before = redirections(cluster)
        await wait_until(lambda: redirections(cluster) > before + 5, "refusals")
        assert not writing.done(), "it wrote to a slot that is on its way"

        def rest() -> None:
            while cluster.move_keys(slot, source, target, 5):
                pass
            cluster.settle_slot(slot, source, target)

        await aside(rest)
        # Ten were there already: they are left alone by a create.
        await writing
        assert set(await claiming) == set(ids[:10])
        records = await session.read(ids)
        assert set(records) == set(ids)
        assert all(len(records[one].state.runs) == 1 for one in ids[:10])


async def test_a_slot_that_moves_for_too_long(
    cluster: Cluster, cluster_url: str
) -> None:
    ids = ids_on([9], 4)
    slot = shard_slot(9)
    async with session_on(cluster_url, exchange_timeout=0.5) as session:
        await write_jobs(session, ids[:2])
        target = other_than(cluster, cluster.master_of(slot))
        source = cluster.import_slot(slot, target)
        try:
            with pytest.raises(StoreUnavailableError):
                await session.transact(ids[2:], create(at=1))
        finally:
            while cluster.move_keys(slot, source, target):
                pass
            cluster.settle_slot(slot, source, target)
        assert set(await session.transact(ids[2:], create(at=1))) == set(ids[2:])


async def test_nothing_is_done_twice_while_slots_move(
    cluster: Cluster, cluster_url: str
) -> None:
    """Counted by the records: each write of ten writers is there once."""
    ids = ids_on([11, 12, 13], 3)
    slots = [shard_slot(shard) for shard in (11, 12, 13)]
    done = asyncio.Event()
    written = dict.fromkeys(ids, 0)

    async def writer(session: RedisSession, job_id: str) -> None:
        while not done.is_set():
            await session.transact([job_id], touch(at=5))
            written[job_id] += 1

    patient: dict[str, Any] = {"exchange_timeout": 30.0}
    async with (
        session_on(cluster_url, **patient) as one,
        session_on(cluster_url, **patient) as two,
    ):
        await write_jobs(one, ids)
        tasks = [
            asyncio.create_task(writer(session, job_id))
            for session in (one, two)
            for job_id in ids
        ]
        for _ in range(3):
            for target in cluster.masters:
                await aside(lambda target=target: cluster.move(slots, target))  # type: ignore[misc]
        done.set()
        await asyncio.gather(*tasks)
        last = await one.read(ids)
    counted = {one: record.state.counts.asked for one, record in last.items()}
    assert counted == written
    assert sum(written.values()) > 3 * len(ids)


@pytest.mark.parametrize("step", ["before", "after"])
async def test_an_unknown_exec_of_a_slot_that_has_moved(
    cluster: Cluster, cluster_url: str, step: str
) -> None:
    slot = shard_slot(21)

    async def move() -> None:
        target = other_than(cluster, cluster.master_of(slot))
        await aside(lambda: cluster.move([slot], target))

    cut = Cut(move)
    ids = ids_in(21, 3, shards=64)
    async with session_on(cluster_url, connection_factory=cut) as session:
        cut.plan = [step]
        assert set(await session.transact(ids, create(at=1))) == set(ids)
        cut.plan = [step]
        changes = await session.transact(ids, claim("me"))
        fences = {one: change.starts[0].run.fence for one, change in changes.items()}
        records = await session.read(ids)
        live = {one: [run.fence for run in records[one].state.runs] for one in ids}
        assert live == {one: [fence] for one, fence in fences.items()}
        cut.plan = [step]
        for one, fence in fences.items():
            assert set(await session.transact([one], settle("me", fence))) == {one}
        rows = await session.ledger(limit=100)
        assert sorted(row.job_id for row in rows if row.final) == sorted(ids)
        assert session.counters.unknown == 3


# --- signals -----------------------------------------------------------------------


@asynccontextmanager
async def listening(session: RedisSession, *shards: int) -> AsyncIterator[SignalStream]:
    stream = session.signals()
    try:
        await stream.watch(frozenset(shards), frozenset(shards))
        yield stream
    finally:
        await stream.aclose()


async def following(
    stream: SignalStream, kind: str, of: Callable[[Signal], bool] = lambda _: True
) -> Signal:
    async with asyncio.timeout(15):
        async for signal in stream:
            if signal.kind == kind and of(signal):
                return signal
    raise AssertionError(f"the stream ended without {kind}")


@pytest.mark.parametrize("sharded", [True, False], ids=["sharded", "plain"])
async def test_signals_of_all_masters(
    cluster_url: str, monkeypatch: pytest.MonkeyPatch, *, sharded: bool
) -> None:
    if not sharded:  # as nodes of Redis 6.2 look
        monkeypatch.setattr(room, "knows_shards", lambda _: False)
    async with session_on(cluster_url) as one, session_on(cluster_url) as two:
        topology = one._link.wiring.topology
        async with listening(one, *range(64)) as stream:
            assert topology.sharded is sharded
            for shard in range(64):
                (job_id,) = ids_in(shard, 1, shards=64)
                await two.transact([job_id], create(at=1))
                heard = await following(stream, "changed")
                assert (heard.shard, heard.entries[0][0]) == (shard, job_id)
            await two.beat(Beat(Member("me", "n", None, (), True), "me"))
            assert (await following(stream, "canary")).ids == ("me",)


async def test_signals_follow_a_slot(cluster: Cluster, cluster_url: str) -> None:
    slot = shard_slot(3)
    ids = ids_in(3, 3, shards=64)
    async with (
        session_on(cluster_url) as one,
        session_on(cluster_url) as two,
        listening(one, 3, 4, 5) as stream,
    ):
        for number, job_id in enumerate(ids):
            target = other_than(cluster, cluster.master_of(slot))
            await aside(lambda target=target: cluster.move([slot], target))  # type: ignore[misc]
            # It was told that something may have been missed, and hears again.
            await following(stream, "resync")
            await two.transact([job_id], create(at=1))
            heard = await following(stream, "changed", lambda signal: signal.shard == 3)
            assert heard.entries[0][0] == job_id, number


async def test_signals_come_back_after_a_cut(
    cluster: Cluster, cluster_url: str
) -> None:
    async with (
        session_on(cluster_url) as one,
        session_on(cluster_url) as two,
        listening(one, *range(64)) as stream,
    ):
        for node in cluster.masters:
            node.command("CLIENT", "KILL", "TYPE", "pubsub")
            await following(stream, "resync")
        await stream.watch(frozenset(range(64)), frozenset())
        for shard in (0, 20, 40):
            (job_id,) = ids_in(shard, 1, shards=64)
            await two.transact([job_id], create(at=1))
            heard = await following(
                stream,
                "changed",
                lambda signal, shard=shard: signal.shard == shard,  # type: ignore[misc]
            )
            assert heard.entries[0][0] == job_id


async def test_a_node_that_hangs_up_is_called_again_and_no_other(
    cluster: Cluster, cluster_url: str
) -> None:
    async with session_on(cluster_url) as session:
        link = session._link
        ids = ids_on(range(64), 1)
        await write_jobs(session, ids)
        before = session.counters.extra["connects"]
        closed = cluster.masters[0]
        closed.command("CLIENT", "KILL", "TYPE", "normal")
        assert len(await session.read(ids)) == len(ids)
        turn = link.wiring.topology.turn
        assert [x.port for x in link.reads._nodes if turn(x)] == [closed.port]
        # Its own connections, and that which is asked for the map.
        assert session.counters.extra["connects"] - before <= 2
        await write_jobs(session, ids)


async def test_a_stream_that_was_never_told_what_to_watch(cluster_url: str) -> None:
    async with session_on(cluster_url) as one, session_on(cluster_url) as two:
        stream = one.signals()

        async def say() -> None:
            while True:
                await two.beat(Beat(Member("me", "n", None, (), True), "me"))

        saying = asyncio.create_task(say())
        try:
            assert (await following(stream, "canary")).ids == ("me",)
        finally:
            saying.cancel()
            await stream.aclose()


# --- ways in -----------------------------------------------------------------------


async def test_one_seed_that_answers_is_enough(cluster: Cluster) -> None:
    port = cluster.masters[2].port
    async with session_on(f"redis+cluster://127.0.0.1:1,127.0.0.1:{port}") as session:
        assert await session.now() > 0


async def test_no_seed_answers() -> None:
    store = RedisJobStore("redis+cluster://127.0.0.1:1,127.0.0.1:2")
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        await store.open("t", {})


async def test_a_cluster_that_is_taken_for_one_server(cluster: Cluster) -> None:
    astray = next(
        one for one in cluster.masters if one is not cluster.master_of(slot_of("{t}"))
    )
    store = RedisJobStore(astray.url)
    with pytest.raises(ConfigurationError, match=r"redis\+cluster://"):
        await store.open("t", {})


async def test_one_server_that_is_taken_for_a_cluster(redis_url: str) -> None:
    place = redis_url.partition("://")[2].partition("/")[0]
    store = RedisJobStore(f"redis+cluster://{place}")
    with pytest.raises(ConfigurationError, match="no part of a Redis Cluster"):
        await store.open("t", {})


async def test_clocks_of_masters_that_differ(cluster_url: str) -> None:
    """The estimate follows the one that is behind, a beat the one that has it."""
    async with session_on(cluster_url) as session:
        await write_jobs(session, ids_on(range(64), 1))
        link = session._link
        assert len(link._times) == 2
        assert session.estimate() <= link.estimate_home()
        keeper = next(iter(link._times.values()))
        keeper.offset -= 100.0
        assert link.estimate_home() - session.estimate() > 99_000_000
        keeper.offset += 300.0
        assert abs(link.estimate_home() - session.estimate()) < 1_000_000
