"""Garbage, lost data and the sweep, white-box."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from aiosched.abc import Beat, ExecutorInfo
from aiosched.enums import RowKind
from aiosched.errors import ConfigurationError, StoreDataError
from aiosched.instants import DAY
from aiosched.records import Change, Definition, Record, Row, Spec
from aiosched.stores.redis.store import RedisJobStore
from aiosched.testing.contract_decisions import (
    create,
    erase,
    firing,
    ids_in,
    rewritten,
    touch,
)
from tests.stores.redis.wire import (
    IDS,
    KEYS,
    Records,
    Said,
    Spy,
    command,
    opened,
)

LONG = "n" * 60
"""Makes a spec too long to stand in the record."""

# --- garbage-stays ----------------------------------------------------------------


@pytest.mark.parametrize("garbage", ["garbage", "2|5\n=x\n", "1|5\n=AAAAAAAAAAAA\n"])
async def test_a_record_that_cannot_be_read(redis_url: str, garbage: str) -> None:
    said = Said()
    key = KEYS.job(1, IDS[0])
    async with opened(redis_url, report=said) as one:
        await one.transact(IDS, create(5, note=LONG))
        await one.transact(IDS[:1], noted(LONG + "of its own"))
        command(redis_url, "SET", key, garbage)
        seen: list[list[str]] = []

        def look(records: Records, now: int) -> Mapping[str, Change]:
            seen.append(list(records))
            return touch(6)(records, now)

        assert list(await one.transact(IDS, look)) == IDS[1:]
        assert seen == [IDS[1:]]
        assert list(await one.read(IDS)) == IDS[1:]
        page = await one.list()
        assert {record.definition.id for record in page.records} == set(IDS[1:])
        assert await one.transact(IDS[:1], create(5)) == {}
        assert await one.transact(IDS[:1], erase()) == {}
        assert said.keys == {key}
        assert one.counters.unreadable == len(said) == 5
        # Who knows what it uses, unless it says so.
        assert await one.sweep() == (1 if garbage.startswith("1|") else 0)
        assert command(redis_url, "GET", key) == garbage
        assert len((await one.agenda([(1, "default")]))[0].entries) == 3


async def test_a_spec_that_is_gone(redis_url: str) -> None:
    said = Said()
    async with opened(redis_url) as one:
        await one.transact(IDS, create(5, note=LONG))
    async with opened(redis_url, report=said) as one:
        (name,) = command(redis_url, "SMEMBERS", KEYS.shared(1))
        command(redis_url, "DEL", f"{{t:1}}:{name}")
        assert await one.transact(IDS, touch(6)) == {}
        assert await one.read(IDS) == {}
        assert said.keys == {KEYS.job(1, job_id) for job_id in IDS}
        # A job that is modified brings its spec along.
        command(redis_url, "SET", f"{{t:1}}:{name}", '{"e":"other"}')
        assert await one.read(IDS) == {}
        assert "does not match" in said[-1][1]


async def test_arguments_that_are_gone(redis_url: str) -> None:
    said = Said()

    def large(records: Records, now: int) -> Mapping[str, Change]:
        changes = dict(create(5)(records, now))
        for job_id, change in changes.items():
            record = change.record
            assert record is not None
            definition = Definition(job_id, record.definition.spec, None, b"1" * 2_000)
            change.record = Record(definition, record.state)
        return changes

    async with opened(redis_url, report=said) as one:
        await one.transact(IDS, large)
        assert (await one.read(IDS))[IDS[0]].definition.arguments == b"1" * 2_000
        names = [
            n for n in command(redis_url, "SMEMBERS", KEYS.shared(1)) if n[0] == "b"
        ]
        assert len(names) == 3
        command(
            redis_url, "DEL", *[f"{{t:1}}:{name}" for name in names if IDS[0] in name]
        )
        assert set(await one.read(IDS)) == set(IDS[1:])
        assert len(said) == 1
        # Deleting the jobs deletes what they kept apart.
        await one.transact(IDS, erase())
        left = command(redis_url, "KEYS", "{t:1}:[bjk]:*")
        assert left == []


async def test_what_is_replaced_is_deleted(redis_url: str) -> None:
    """apart-while-used: a key apart lives exactly as long as its record names it."""

    def carrying(*blobs: bytes) -> Callable[[Records, int], Mapping[str, Change]]:
        def decide(records: Records, now: int) -> Mapping[str, Change]:
            changes = {}
            for job_id, record in records.items():
                assert record is not None
                waiting = tuple([firing(str(len(b)), now, b) for b in blobs[1:]])
                definition = Definition(job_id, Spec("x"), None, blobs[0])
                new = rewritten(record, now, waiting=waiting)
                changes[job_id] = Change(Record(definition, new.state), now)
            return changes

        return decide

    one_, two, three = b"1" * 2_000, b"2" * 3_000, b"3" * 4_000
    async with opened(redis_url) as one:
        await one.transact(IDS, create(5))
        for blobs in ((one_, two), (one_, three, two), (three, three), (b"[]", two)):
            await one.transact(IDS, carrying(*blobs))
            kept = {blob for blob in blobs if len(blob) > 100}
            names = command(redis_url, "KEYS", "{t:1}:b:*")
            assert len(names) == len(IDS) * len(kept)
            shared = command(redis_url, "SMEMBERS", KEYS.shared(1))
            assert {f"{{t:1}}:{name}" for name in shared} == set(names)
            stored = (await one.read(IDS))[IDS[0]]
            assert stored.definition.arguments == blobs[0]
            assert [w.payload for w in stored.state.waiting] == list(blobs[1:])


async def test_garbage_among_members(redis_url: str) -> None:
    said = Said()
    async with opened(redis_url, report=said) as one:
        await one.transact(IDS, create(5, keyword="k"))
        command(redis_url, "HSET", KEYS.members, "x", "garbage")
        command(redis_url, "HSET", KEYS.executors, "x", "garbage")
        command(redis_url, "SADD", KEYS.keyword_shards("k"), "99", "x")
        command(redis_url, "ZADD", KEYS.agenda(1, "default"), "1", ids_in(2, 1)[0])
        pulse = await one.beat(Beat(None, "me", (0, 1)))
        assert pulse.members == ()
        assert await one.catalogue() == {}
        assert await one.by_keyword("k") == sorted(IDS)
        (head,) = await one.agenda([(1, "default")])
        assert {job_id for job_id, _ in head.entries} == set(IDS)
        where = {KEYS.agenda(1, "default"), f"{KEYS.members} x", f"{KEYS.executors} x"}
        assert said.keys == where
        assert command(redis_url, "HGET", KEYS.members, "x") == "garbage"


async def test_garbage_in_the_ledger(redis_url: str) -> None:
    said = Said()

    def rows(records: Records, now: int) -> Mapping[str, Change]:
        return {
            job_id: Change(
                rewritten(record, now),
                rows=(Row(job_id, RowKind.SUCCEEDED, now, value=b'{\n"a": 1}'),),
            )
            for job_id, record in records.items()
            if record is not None
        }

    async with opened(redis_url, report=said) as one:
        await one.transact(IDS, create(5))
        await one.transact(IDS, rows)
        command(redis_url, "XADD", KEYS.ledger(1), "*", "r", "garbage\nmore")
        command(redis_url, "XADD", KEYS.ledger(1), "*", "what", "ever")
        command(redis_url, "SET", KEYS.ledger(2), "garbage")
        found = await one.ledger()
        assert sorted(row.job_id for row in found) == IDS
        assert {row.value for row in found} == {b'{ "a": 1}'}
        assert said.keys == {KEYS.ledger(1), KEYS.ledger(2)}
        said.clear()
        assert len(await one.ledger(IDS[0])) == 1
        assert said == []  # only hits are decoded


async def test_a_long_ledger_is_read_page_by_page(redis_url: str) -> None:
    def row(records: Records, now: int) -> Mapping[str, Change]:
        return {
            job_id: Change(
                new := rewritten(record, now),
                rows=(Row(job_id, RowKind.MISSED, now, fence=new.state.seq),),
            )
            for job_id, record in records.items()
            if record is not None
        }

    async with opened(redis_url) as one:
        await one.transact(IDS, create(5))
        for _ in range(230):
            await one.transact(IDS[:2], row)
        for job_id, number in ((IDS[0], 230), (IDS[2], 0), (None, 460)):
            found = await one.ledger(job_id, limit=1_000)
            assert len(found) == number
            assert len({(r.job_id, r.fence) for r in found}) == number
            assert [r.at for r in found] == sorted((r.at for r in found), reverse=True)
        newest = await one.ledger(IDS[0], limit=7)
        assert [r.fence for r in newest] == [
            r.fence for r in await one.ledger(IDS[0], limit=1_000)
        ][:7]


async def test_garbage_terms(redis_url: str) -> None:
    command(redis_url, "HSET", KEYS.meta, "shards", "many")
    with pytest.raises(StoreDataError):
        await RedisJobStore(redis_url).open("t", {})
    command(redis_url, "HSET", KEYS.meta, "shards", "4", "schema", "2")
    with pytest.raises(ConfigurationError, match="later version"):
        await RedisJobStore(redis_url).open("t", {})


# --- loss-is-seen, too-many-never-few -----------------------------------------------


async def test_data_loss_is_a_new_epoch(redis_url: str) -> None:
    async with opened(redis_url) as one, opened(redis_url) as two:
        await one.transact(IDS, create(5, queue="q", keyword="k"))
        first = await one.beat(Beat(None, "me"))
        assert (await two.beat(Beat(None, "me"))).epoch == first.epoch
        command(redis_url, "FLUSHALL")
        # Written by one that believes its queue and keyword to be known.
        await one.transact(IDS, create(5, queue="q", keyword="k"))
        second = await two.beat(Beat(None, "me"))
        assert second.epoch != first.epoch
        third = await one.beat(Beat(None, "me"))
        assert third.epoch == second.epoch
        assert third.queues == ("q",)
        assert await two.by_keyword("k") == sorted(IDS)
        assert len((await two.list()).records) == 3


async def test_other_terms_after_data_loss_are_refused(redis_url: str) -> None:
    async with opened(redis_url) as one:
        command(redis_url, "FLUSHALL")
        async with opened(redis_url, shards=8):
            with pytest.raises(ConfigurationError, match="shards"):
                await one.beat(Beat(None, "me"))


# --- the sweep (spec-present) ---------------------------------------------------------


def noted(note: str) -> Callable[[Records, int], Mapping[str, Change]]:
    def decide(records: Records, now: int) -> Mapping[str, Change]:
        return {
            job_id: Change(
                Record(
                    Definition(job_id, Spec("contract.work", note=note)),
                    rewritten(record, now).state,
                ),
                now,
            )
            for job_id, record in records.items()
            if record is not None
        }

    return decide


async def test_the_sweep_deletes_what_nobody_uses(redis_url: str) -> None:
    async with opened(redis_url) as one:
        await one.transact(IDS, create(5, note=LONG))
        await one.transact(IDS[:2], noted(LONG + "2"))
        assert await one.sweep() == 0
        await one.transact(IDS[2:], noted(LONG + "2"))
        command(redis_url, "SET", "{t:1}:b:0000:gone", "left over by hand")
        command(redis_url, "SADD", KEYS.shared(1), "b:0000:gone")
        assert await one.sweep() == 2
        assert await one.sweep() == 0
        assert len(command(redis_url, "KEYS", "{t:1}:[xb]:*")) == 1
    async with opened(redis_url) as fresh:
        stored = await fresh.read(IDS)
        assert {r.definition.spec.note for r in stored.values()} == {LONG + "2"}


@pytest.mark.parametrize(("look", "aborts"), [(2, 0), (3, 1)])
async def test_the_sweep_loses_against_a_creation(
    redis_url: str, look: int, aborts: int
) -> None:
    """A job that takes up a spec after the scan, or after the look under WATCH."""
    spy = Spy()
    async with (
        opened(redis_url, connection_factory=spy) as one,
        opened(redis_url) as two,
    ):
        await two.transact(IDS, create(5, note=LONG))
        await two.transact(IDS, noted(LONG + "2"))
        looks = 0
        real = one._link.ask

        async def ask(commands: Any, **options: Any) -> list[Any]:
            nonlocal looks
            replies = await real(commands, **options)
            if commands[0][0] == "MGET":
                looks += 1
                # Agendas and all records without WATCH, then the agendas under it.
                if looks == look:
                    await two.transact(IDS, noted(LONG))
            return replies

        one._link.ask = ask  # type: ignore[method-assign]
        assert await one.sweep() == 0
        assert looks == 3
        assert one.counters.aborts == aborts
    async with opened(redis_url) as fresh:
        assert len(await fresh.read(IDS)) == 3


async def test_the_sweep_caps_the_ledger(redis_url: str) -> None:
    said = Said()
    store = RedisJobStore(redis_url)
    one = await store.open("t", {"shards": 4, "ledger_cap": 100}, report=said)
    try:
        for _ in range(300):
            command(redis_url, "XADD", KEYS.ledger(1), "*", "t", "x")
        await one.sweep()
        assert said.keys == {KEYS.ledger(1)}
        assert command(redis_url, "XLEN", KEYS.ledger(1)) < 250
    finally:
        await one.close()


async def test_old_executors_are_swept(redis_url: str) -> None:
    async with opened(redis_url) as one:
        old = await one.now() - 8 * DAY
        await one.advertise([ExecutorInfo("new", ())])
        command(redis_url, "HSET", KEYS.executors, "old", f'[{old},[],"q"]')
        assert set(await one.catalogue()) == {"new"}
        assert await one.sweep() == 1
        assert command(redis_url, "HKEYS", KEYS.executors) == ["new"]
