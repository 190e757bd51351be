"""Transactions over several shards: all of it in each, or nothing in any."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import Job, RedisJobStore, Scheduler
from aiosched.abc import shard_of
from aiosched.enums import RowKind
from aiosched.errors import StoreDataError
from aiosched.testing.contract_base import entries_of
from aiosched.testing.contract_decisions import create, erase, ids_in, touch
from tests.stores.redis.wire import KEYS, Proxy, Said, Spy, command, opened

IDS = [job_id for shard in range(4) for job_id in ids_in(shard, 2)]
CUTS = ["before", "after", "late"]


async def test_each_shard_gets_what_it_would_get_by_itself(redis_url: str) -> None:
    def kinds(spy: Spy) -> set[tuple[str, str]]:
        every = {"MSET": slice(1, None, 2), "DEL": slice(1, None)}
        return {
            (verb, key.decode())
            for writes in spy.transactions()
            for words in writes
            for verb in (words[0].decode(),)
            for key in words[every.get(verb, slice(1, 2))]
        }

    apart, together = Spy(), Spy()
    options: Any = {"connection_factory": apart, "namespace": "t"}
    async with opened(redis_url, **options) as session:
        apart.packets.clear()
        for shard in range(4):
            await session.transact(ids_in(shard, 2), create(1, keyword="word"))
    command(redis_url, "FLUSHALL")
    options["connection_factory"] = together
    async with opened(redis_url, **options) as session:
        assert session.spanning
        together.packets.clear()
        answer = await session.transact(IDS, create(1, keyword="word"))
        assert list(answer) == IDS
        (writes,) = together.transactions()
        assert [words[0] for words in writes].count(b"MSET") == 1
        assert await session.by_keyword("word") == sorted(IDS)
        for shard in range(4):
            entries = await entries_of(session, shard)
            assert set(entries) == set(ids_in(shard, 2))
    assert kinds(together) == kinds(apart)


@pytest.mark.parametrize("cut", CUTS)
async def test_it_is_applied_once(redis_url: str, cut: str) -> None:
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await session.transact(IDS, create(5))
        proxy.plan = [cut]
        changes = await session.transact(IDS, touch(7))
        assert list(changes) == IDS
        assert session.counters.unknown == 1
        await proxy.deliver()
        stored = await session.read(IDS)
        assert {one.state.counts.asked for one in stored.values()} == {1}


@pytest.mark.parametrize("cut", CUTS)
async def test_what_leaves_no_record_is_applied_once(redis_url: str, cut: str) -> None:
    """The token in one shard's ledger tells of all of them."""
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await session.transact(IDS, create(5))
        proxy.plan = [cut]
        assert set(await session.transact(IDS, erase())) == set(IDS)
        await session.transact(IDS, create(6, note="made again"))
        await proxy.deliver()
        assert set(await session.read(IDS)) == set(IDS)


async def test_who_is_overtaken_in_one_shard_decides_again(redis_url: str) -> None:
    async with opened(redis_url, report=Said()) as one:
        await one.transact(IDS, create(1))
        met: list[int] = []

        def slow(records: Any, now: int) -> Any:
            met.append(len(records))
            if len(met) == 1:
                shard = ids_in(3, 1)
                command(redis_url, "SET", KEYS.job(3, shard[0]), "")
            return touch(1)(records, now)

        await one.transact(IDS, slow)
        assert met == [len(IDS), len(IDS) - 1]  # what was put there is no record
        assert one.counters.aborts == 1


async def test_an_unreadable_record_is_left_out(redis_url: str) -> None:
    bad = ids_in(2, 1)[0]
    said = Said()
    async with opened(redis_url, report=said) as session:
        command(redis_url, "RPUSH", KEYS.job(2, bad), "x")
        answer = await session.transact(IDS, create(1))
        assert set(answer) == set(IDS) - {bad}
        assert said.keys == {KEYS.job(2, bad)}


# --- many callers ----------------------------------------------------------------


def jobs(count: int) -> list[Job]:
    return [Job("work", id=f"j{n}", keyword="never") for n in range(count)]


async def work() -> None:
    raise AssertionError


def client(url: str) -> Scheduler:
    found = Scheduler(RedisJobStore(url), run_jobs=False)
    found.register(work)
    return found


@pytest.mark.parametrize("cut", CUTS)
async def test_a_company_whose_exec_is_lost_is_written_once(
    redis_url: str, cut: str
) -> None:
    told: list[str | None] = []
    async with Proxy(redis_url) as proxy, client(proxy.url) as scheduler:
        scheduler.on("job_scheduled", lambda event: told.append(event.job_id))
        proxy.plan = ["pass", cut]
        some = jobs(20)
        shown = await asyncio.gather(*[scheduler.schedule(one) for one in some])
        assert [one.version for one in shown] == [1] * 20
        await proxy.deliver()
        assert sorted(map(str, told)) == sorted(one.id for one in some)
        rows = await scheduler.history(limit=100)
        assert sorted(row.job_id for row in rows) == sorted(one.id for one in some)
        assert {row.kind for row in rows} == {RowKind.CREATED}


async def test_what_befalls_one_befalls_no_other(redis_url: str) -> None:
    """Somebody has put something else under keys that some of them need."""
    async with client(redis_url) as scheduler:
        keys = scheduler._opened()._link.keys  # type: ignore[attr-defined]
        some = jobs(20)
        unreadable, refused = some[5], some[9]
        refused = Job("work", id=refused.id, keyword="taken")
        some[9] = refused
        shards = scheduler._opened().terms.shards
        command(
            redis_url,
            "RPUSH",
            keys.job(shard_of(unreadable.id, shards), unreadable.id),
            "x",
        )
        taken = keys.subscribers(shard_of(refused.id, shards), "taken")
        command(redis_url, "SET", taken, "x")
        works = [scheduler.schedule(one) for one in some]
        ends = await asyncio.gather(*works, return_exceptions=True)
        failed = [one for one in ends if not isinstance(one, Job)]
        assert [type(one) for one in failed] == [StoreDataError] * 2
        assert unreadable.id in str(failed[0])
        assert "taken" in str(failed[1])
        assert failed[0] is not failed[1]
        assert sum(isinstance(one, Job) for one in ends) == 18


async def test_the_end_finds_nobody_waiting(redis_url: str) -> None:
    async with client(redis_url) as scheduler:
        tasks = [asyncio.ensure_future(scheduler.schedule(one)) for one in jobs(500)]
        await asyncio.sleep(0)
    ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    assert len(ends) == 500
