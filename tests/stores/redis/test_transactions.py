"""One transaction: its keys, its commands, its races, its failures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from aiosched.abc import shard_of
from aiosched.clock import SystemClock
from aiosched.errors import (
    ConfigurationError,
    StoreConflictError,
    StoreDataError,
    StoreError,
    StoreUnavailableError,
)
from aiosched.records import Change, Definition, Record, Spec, State
from aiosched.stores.redis.agendas import foreign
from aiosched.stores.redis.doctor import doctor
from aiosched.stores.redis.keys import Keys
from aiosched.stores.redis.store import RedisJobStore, RedisSession
from aiosched.stores.redis.sweep import delete_unused
from aiosched.testing.contract_decisions import (
    claim,
    create,
    erase,
    firing,
    ids_in,
    rewritten,
    run_row,
    settle,
    touch,
)
from tests import servers
from tests.stores.redis.garbage import Client
from tests.stores.redis.wire import Spy, opened

IDS = ids_in(1, 4)
AGENDA = "{t:1}:a:default"
BIG = b"[" + b"1," * 1_000 + b"1]"
Records = Mapping[str, Record | None]

# Which words of a command are keys; everything that a transaction may send.
KEYS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "MSET": lambda words: words[1::2],
    "DEL": lambda words: words[1:],
    "MGET": lambda words: words[1:],
    "WATCH": lambda words: words[1:],
    "EXISTS": lambda words: words[1:],
    "ZADD": lambda words: words[1:2],
    "ZREM": lambda words: words[1:2],
    "SADD": lambda words: words[1:2],
    "SREM": lambda words: words[1:2],
    "XADD": lambda words: words[1:2],
    "INCR": lambda words: words[1:2],
    "PUBLISH": lambda words: words[1:2],
}


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


def tag(key: bytes) -> bytes:
    """Return what a cluster would hash."""
    inside = key.partition(b"{")[2].partition(b"}")[0]
    assert inside, f"{key!r} has no hash tag"
    return inside


def with_payload(records: Records, now: int) -> dict[str, Change]:
    changes = {}
    for job_id, record in records.items():
        assert record is not None
        new = rewritten(record, now, waiting=(firing("f", now, BIG),))
        changes[job_id] = Change(new, now)
    return changes


def moved(queue: str, keyword: str | None) -> Callable[[Records, int], Any]:
    def decide(records: Records, now: int) -> dict[str, Change]:
        changes = {}
        for job_id, record in records.items():
            assert record is not None
            spec = Spec("contract.work", queue=queue, keyword=keyword, note="n" * 60)
            definition = Definition(job_id, spec, None, BIG)
            new = Record(definition, rewritten(record, now).state)
            changes[job_id] = Change(new, now)
        return changes

    return decide


def index(at: int) -> Callable[[Records, int], Any]:
    return lambda records, _: {
        job_id: Change(None, at, index_only=True) for job_id in records
    }


# --- one-slot, bounded-watch ------------------------------------------------------


async def test_all_keys_of_a_transaction_share_a_hash_tag(redis_url: str) -> None:
    spy = Spy()
    namespace = "na:me"
    async with opened(redis_url, connection_factory=spy, namespace=namespace) as one:
        ids = ids_in(1, 3, "{other}:")
        await one.transact(ids, create(5, keyword="k{x}", queue="q{y}", note="n" * 50))
        await one.transact(ids, moved("other{z}", "k2{w}"))
        await one.transact(ids, with_payload)
        claimed = await one.transact(ids, claim("me"), claim=True)
        assert claimed[ids[0]].starts[0].run.firing.payload == BIG
        assert claimed[ids[0]].starts[0].definition.arguments == BIG
        fence = claimed[ids[0]].starts[0].run.fence
        await one.transact(ids, settle("me", fence), signal=False)
        await one.transact(ids, index(9))
        await one.transact(ids, erase())
        await one.transact(ids, index(9))
    transactions = spy.transactions()[1:]  # without that of the terms
    assert len(transactions) == 8
    seen = set()
    for commands in transactions:
        tags = {
            tag(key) for words in commands for key in KEYS[words[0].decode()](words)
        }
        assert tags == {b"na:me:1"}
        seen |= {words[0].decode() for words in commands}
    assert seen == set(KEYS) - {"WATCH", "EXISTS"}
    for packet in spy.packets:
        for words in packet:
            if words[0] == b"WATCH":
                assert len({tag(key) for key in words[1:]}) == 1
                assert len(words) <= 101


def test_the_key_table() -> None:
    keys = Keys("n", 2)
    shard = [
        keys.job(1, "i"),
        keys.agenda(1, "q"),
        keys.spec(1, "h"),
        keys.blob(1, "d", "i"),
        keys.shared(1),
        keys.subscribers(1, "w"),
        keys.ledger(1),
        keys.rev(1),
        keys.changed(1),
        keys.done(1),
    ]
    common = [
        keys.meta,
        keys.members,
        keys.queues,
        keys.executors,
        keys.canary,
        keys.keyword_shards("w"),
    ]
    assert len({*shard, *common}) == len(shard) + len(common)
    assert {tag(key.encode()) for key in shard} == {b"n:1"}
    assert {tag(key.encode()) for key in common} == {b"n"}
    # No namespace's keys are another's, even where one name contains the other.
    kinds = {key.split("}:")[1].split(":")[0] for key in shard}
    assert not kinds & {key.split("}:")[1].split(":")[0] for key in common}


# --- variadic ---------------------------------------------------------------------


async def test_commands_do_not_grow_with_the_batch(redis_url: str) -> None:
    counts = []
    for number, stem in ((1, "a"), (100, "b")):
        async with opened(redis_url, namespace=stem) as one:
            ids = ids_in(1, number, stem)
            await one.transact(ids_in(1, 1, "first"), create(5, keyword="k"))
            before = one.counters.commands
            steps = []
            for decide, options in (
                (create(5, keyword="k"), {}),
                (with_payload, {}),
                (claim("me"), {"claim": True, "signal": False}),
                (touch(6), {"signal": False}),
                (erase(), {}),
            ):
                assert len(await one.transact(ids, decide, **options)) == number
                steps.append(one.counters.commands - before)
            counts.append(steps)
    assert counts[0] == counts[1]


async def test_a_hundred_jobs_cost_sixteen_commands_and_four_trips(
    redis_url: str,
) -> None:
    def ended(records: Records, now: int) -> dict[str, Change]:
        changes = {}
        for job_id, record in records.items():
            assert record is not None
            row = run_row(record, record.state.runs[0], now)
            # Half of them repeat, half are done and gone.
            odd = int(job_id.rpartition("-")[2]) % 2
            new = rewritten(record, now, runs=()) if odd else None
            changes[job_id] = Change(new, now, rows=(row,))
        return changes

    ids = ids_in(1, 100)
    spy = Spy()
    async with opened(redis_url, connection_factory=spy) as one:
        await one.transact(ids, create(5))
        before, trips, packets = (
            one.counters.commands,
            one.counters.round_trips,
            len(spy.packets),
        )
        await one.transact(ids, claim("me"), claim=True, signal=False)
        await one.transact(ids, ended, signal=False)
        assert one.counters.commands - before <= 20
        assert one.counters.round_trips - trips == 4
        # The counters are not made up.
        sent = [words for packet in spy.packets[packets:] for words in packet]
        assert len(sent) == one.counters.commands - before
        assert len(spy.packets) - packets == 4
        assert one.counters.aborts == 0


# --- a transaction, or nothing ------------------------------------------------------


def _another_type(raw: Client) -> None:
    raw.delete(AGENDA)
    raw.set(AGENDA, "x")


async def _of_terms(one: RedisSession, url: str) -> None:
    del one
    async with opened(url, namespace="another"):
        pass


async def _of_repairs(one: RedisSession, url: str) -> None:
    del one
    store = RedisJobStore(url)
    async with doctor(store, "t", SystemClock().wall) as seen:
        await seen.fix(allowed=True)


DEEDS: dict[str, Callable[[RedisSession, str], Awaitable[object]]] = {
    "a claim": lambda one, _: one.transact(IDS, claim("me"), claim=True, signal=False),
    "a verb": lambda one, _: one.transact(IDS, touch(7)),
    "a creation": lambda one, _: one.transact(ids_in(1, 2, "new"), create(5)),
    "upkeep": lambda one, _: one.transact(IDS, index(9), signal=False),
    "the terms": _of_terms,
    "a misplaced agenda": lambda one, _: foreign(one._link, 1, "default"),
    "a repair": _of_repairs,
    "the sweep": lambda one, _: delete_unused(one._link, 1, ["default"], ["x:unused"]),
}


def contents(raw: Client) -> dict[bytes, bytes | None]:
    """Return all that stands there."""
    return {key: raw.dump(key) for key in raw.keys("*")}


@pytest.mark.parametrize("name", sorted(DEEDS))
async def test_a_server_that_refuses_multi_is_sent_no_write(
    launch: Any, name: str
) -> None:
    """It would carry out what follows, piece by piece and without the watch."""
    server = launch()
    server.command("ACL", "SETUSER", "jobs", "on", ">pw", "~*", "&*", "+@all")
    url = server.url.replace("redis://", "redis://jobs:pw@")
    with redis.Redis.from_url(server.url) as raw:
        async with opened(url) as one:
            await one.transact(IDS, create(5, note="n" * 50))
            raw.set("{t:1}:x:unused", "x")
            raw.sadd("{t:1}:xs", "x:unused")
            if name == "a misplaced agenda":
                _another_type(raw)
            if name == "a repair":
                raw.set("{t:1}:rev", "no counter")
                raw.delete("{t:1}:x:unused")
                raw.srem("{t:1}:xs", "x:unused")
            server.command("ACL", "SETUSER", "jobs", "-multi")
            before = contents(raw)
            with pytest.raises((StoreError, ConfigurationError), match="multi"):
                await DEEDS[name](one, url)
            assert contents(raw) == before
            # With the right back, it is done.
            server.command("ACL", "SETUSER", "jobs", "+multi")
            await DEEDS[name](one, url)
            assert contents(raw) != before


async def test_a_right_that_is_taken_while_it_is_decided(launch: Any) -> None:
    server = launch()
    server.command("ACL", "SETUSER", "jobs", "on", ">pw", "~*", "&*", "+@all")
    url = server.url.replace("redis://", "redis://jobs:pw@")
    async with opened(url) as one, opened(server.url) as other:
        await other.transact(IDS, create(5))

        def decide(records: Records, now: int) -> Mapping[str, Change]:
            server.command("ACL", "SETUSER", "jobs", "-multi")
            for job_id in IDS:
                _write(server.url, job_id)
            return claim("me")(records, now)

        with pytest.raises(StoreUnavailableError, match="multi"):
            await one.transact(IDS, decide, claim=True, signal=False)
        for record in (await other.read(IDS)).values():
            assert record.state.runs == ()


# --- races ------------------------------------------------------------------------


async def test_a_claim_drops_what_changed(redis_url: str) -> None:
    async with opened(redis_url) as one:
        await one.transact(IDS, create(5))
        calls: list[list[str]] = []

        def decide(records: Records, now: int) -> Mapping[str, Change]:
            calls.append(list(records))
            if len(calls) == 1:
                _write(redis_url, IDS[1])
            return claim("me")(records, now)

        changes = await one.transact(IDS, decide, claim=True)
        assert calls == [IDS, [IDS[0], *IDS[2:]]]
        assert list(changes) == [IDS[0], *IDS[2:]]
        assert one.counters.aborts == 1


async def test_a_claim_that_lost_everything_is_empty(redis_url: str) -> None:
    async with opened(redis_url) as one:
        await one.transact(IDS[:1], create(5))

        def decide(records: Records, now: int) -> Mapping[str, Change]:
            _write(redis_url, IDS[0])
            return claim("me")(records, now)

        assert await one.transact(IDS[:1], decide, claim=True) == {}


async def test_a_verb_decides_again_and_gives_up_at_last(redis_url: str) -> None:
    async with opened(redis_url) as one:
        await one.transact(IDS, create(5))
        calls = 0

        def hindered(times: int) -> Callable[[Records, int], Mapping[str, Change]]:
            def decide(records: Records, now: int) -> Mapping[str, Change]:
                nonlocal calls
                calls += 1
                if calls <= times:
                    _write(redis_url, IDS[1])
                return touch(6)(records, now)

            return decide

        assert list(await one.transact(IDS, hindered(5))) == IDS
        assert calls == 6
        calls = 0
        with pytest.raises(StoreConflictError) as caught:
            await one.transact(IDS, hindered(1_000))
        assert caught.value.attempts == calls == 16
        stored = await one.read(IDS)
        assert [stored[job_id].state.counts.asked for job_id in IDS] == [1] * 4


def _write(url: str, job_id: str) -> None:
    """Write the same bytes again, as somebody else: whoever watches loses.

    A claim compares bytes, so these change: a space at the end of arguments.
    """
    key = Keys("t", 4).job(shard_of(job_id, 4), job_id)
    servers.command(address(url), "APPEND", key, " ")


async def test_a_failing_decision_leaves_the_connection_usable(redis_url: str) -> None:
    class OwnError(Exception):
        pass

    def fail(records: Records, now: int) -> Mapping[str, Change]:
        raise OwnError

    async with opened(redis_url, lanes=1) as one:
        await one.transact(IDS, create(5))
        for _ in range(3):
            with pytest.raises(OwnError):
                await one.transact(IDS, fail)
            # What the failed one watched must not make the next one abort.
            _write(redis_url, IDS[0])
            assert len(await one.transact(IDS[1:], touch(6))) == 3
        assert one.counters.aborts == 0
        assert one.counters.extra["connects"] <= 2


async def test_new_work_waits_for_what_is_held_already(redis_url: str) -> None:
    """Over a slow link, claims must not keep leases from being extended."""
    order: list[str] = []

    def noted(name: str) -> Callable[[Records, int], Mapping[str, Change]]:
        def decide(records: Records, now: int) -> Mapping[str, Change]:
            order.append(name)
            return {}

        return decide

    async with opened(redis_url, lanes=1) as one:
        await one.transact(IDS, create(5))
        async with asyncio.TaskGroup() as group:
            for name in ("claim 1", "claim 2", "claim 3"):
                group.create_task(one.transact(IDS, noted(name), claim=True))
            for name in ("extension 1", "extension 2"):
                group.create_task(one.transact(IDS, noted(name)))
    # The first had the lane before the others came.
    assert order == ["claim 1", "extension 1", "extension 2", "claim 2", "claim 3"]


async def test_an_answer_for_somebody_else_is_refused(redis_url: str) -> None:
    async with opened(redis_url) as one:
        await one.transact(IDS, create(5))

        def decide(records: Records, now: int) -> Mapping[str, Change]:
            return {"stranger": Change(None)}

        with pytest.raises(ValueError, match="not given"):
            await one.transact(IDS, decide)


async def test_bytes_of_another_job_are_refused(redis_url: str) -> None:
    async with opened(redis_url) as one:
        await one.transact(IDS[:1], create(5))
        await one.transact(IDS[:1], moved("q", None))
        seen: list[Record] = []

        def keep(records: Records, now: int) -> Mapping[str, Change]:
            seen.extend(record for record in records.values() if record)
            return {}

        await one.transact(IDS[:1], keep)
        definition = Definition(IDS[1], Spec("x"), None, seen[0].definition.arguments)
        stolen = Record(definition, State(1, 1))
        with pytest.raises(ValueError, match="another job"):
            await one.transact(IDS[1:2], lambda _, now: {IDS[1]: Change(stolen, 1)})


# --- failures ---------------------------------------------------------------------


async def test_a_full_store_is_unavailable_and_unchanged(launch: Any) -> None:
    server = launch()
    async with opened(server.url) as one:
        await one.transact(IDS, create(5))
        server.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreUnavailableError, match="maxmemory"):
            await one.transact(IDS, touch(6))
        server.command("CONFIG", "SET", "maxmemory", "0")
        stored = await one.read(IDS)
        assert {record.state.counts.asked for record in stored.values()} == {0}
        assert len(await one.transact(IDS, touch(6))) == 4


async def test_a_replica_is_unavailable(launch: Any) -> None:
    server = launch()
    async with opened(server.url) as one:
        await one.transact(IDS, create(5))
        server.command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreUnavailableError):
            await one.transact(IDS, touch(6))
        server.command("REPLICAOF", "NO", "ONE")
        assert len(await one.transact(IDS, touch(6))) == 4


async def test_a_record_key_of_another_type_stays(redis_url: str) -> None:
    said: list[tuple[str, str]] = []
    key = Keys("t", 4).job(1, IDS[0])
    async with opened(redis_url, report=lambda *what: said.append(what)) as one:
        servers.command(address(redis_url), "RPUSH", key, "mine")
        assert list(await one.transact(IDS, create(5))) == IDS[1:]
        assert said == [(key, "is of type list, no record")]
        assert servers.command(address(redis_url), "LRANGE", key, "0", "-1") == ["mine"]
        assert one.counters.unreadable == 1


async def test_an_agenda_of_another_type_is_told(redis_url: str) -> None:
    said: list[tuple[str, str]] = []
    key = Keys("t", 4).agenda(1, "default")
    async with opened(redis_url, report=lambda *what: said.append(what)) as one:
        servers.command(address(redis_url), "SET", key, "garbage")
        with pytest.raises(StoreDataError):
            await one.transact(IDS, create(5))
        (head,) = await one.agenda([(1, "default")])
        assert head.entries == ()
        assert {where for where, _ in said} == {key}
        # The commits of a peer go on: it must survive what others put there.
        assert len(await one.transact(IDS, touch(6), signal=False)) == 4
        assert (await one.list()).records == ()
        assert servers.command(address(redis_url), "GET", key) == "garbage"


async def test_garbage_in_a_counter_stops_nobody(redis_url: str) -> None:
    said: list[tuple[str, str]] = []
    key = Keys("t", 4).rev(1)
    async with opened(redis_url, report=lambda *what: said.append(what)) as one:
        servers.command(address(redis_url), "SET", key, "garbage")
        assert len(await one.transact(IDS, create(5))) == 4
        (head,) = await one.agenda([(1, "default")])
        assert head.rev == 0
        assert len(head.entries) == 4
        assert {where for where, _ in said} == {key}


async def test_a_closed_session_says_so(redis_url: str) -> None:
    async with opened(redis_url) as one:
        await one.close()
        await one.close()
        for verb in (
            one.transact(IDS, create(5)),
            one.read(IDS),
            one.now(),
            one.list(),
        ):
            with pytest.raises(StoreError, match="closed"):
                await verb
        with pytest.raises(StoreError, match="closed"):
            one.signals()
