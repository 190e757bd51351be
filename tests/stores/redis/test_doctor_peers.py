"""Peers mend the index by themselves, on real servers, and at a price that is known."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from aiosched import DateTrigger, IntervalTrigger, Job, RedisJobStore, Scheduler
from aiosched._engine import mending
from aiosched.abc import Session
from aiosched.stores.redis import mend, words
from aiosched.testing.contract_decisions import ids_in
from tests.stores.redis.garbage import Client, another_type

FAR = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def redis_url(turn_url: str) -> str:
    """One server or the other: that all do the same is what other tests show."""
    return turn_url


def far_jobs(number: int, words: int = 0) -> list[Job]:
    return [
        Job(
            "nothing",
            trigger=DateTrigger(FAR + timedelta(seconds=n)),
            id=f"far-{n}",
            keyword=f"word-{n % words}" if words else None,
        )
        for n in range(number)
    ]


async def load(url: str, namespace: str, jobs: list[Job]) -> None:
    async with Scheduler(url, namespace=namespace, run_jobs=False) as client:
        for first in range(0, len(jobs), 5_000):
            await client.schedule_many(jobs[first : first + 5_000], allow_unknown=True)


async def one_pass(
    session: Session, pace: mending.Pace | None = None
) -> tuple[list[str], int, float]:
    """Return what a pass mends, its commands, and how long a peer takes over it."""
    pace = pace or mending.Pace()
    put: list[str] = []
    commands, seconds = 0, 0.0
    while True:
        told = await session.mend()
        put += told.ids
        commands += told.cost
        seconds += pace.after(told)
        if told.complete:
            return put, commands, seconds


@pytest.mark.parametrize("number", [0, 1_000, 10_000])
async def test_looking_costs_a_command_a_second_at_most(
    redis_url: str, number: int, *, long_run: bool
) -> None:
    if number == 10_000 and not long_run:
        number = 2_000
    await load(redis_url, "cost", far_jobs(number))
    session = await RedisJobStore(redis_url).open("cost", {})
    try:
        pace = mending.Pace()
        for turn in range(3):
            put, commands, seconds = await one_pass(session, pace)
            assert put == []
            assert seconds <= 60
            if turn:  # the first pass hurries
                assert commands <= seconds, f"{commands} commands in {seconds} s"
            if number <= 1_000:
                assert commands <= 8
    finally:
        await session.close()


@pytest.mark.parametrize("small", [10_000, 50], ids=["at-once", "in-portions"])
async def test_what_is_deleted_under_a_session_is_put_right(
    redis_url: str, raw: Client, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    """All at once, or a portion of the records at a time."""
    monkeypatch.setattr(mend, "SMALL", small)
    monkeypatch.setattr(mend, "SCANNED", 100)
    monkeypatch.setattr(words, "_COMPARED", 1_000)
    await load(redis_url, "put", far_jobs(300, words=5))
    session = await RedisJobStore(redis_url).open("put", {})
    try:
        await one_pass(session)
        before = {key: raw.zrange(key, 0, -1, withscores=True) for key in agendas(raw)}
        sets = {key: raw.smembers(key) for key in raw.keys("{put*:k*:word*")}
        assert (await one_pass(session))[0] == []
        chosen = sorted(before)
        raw.delete(*chosen[:20])
        for key in chosen[20:40]:
            raw.zadd(key, dict.fromkeys(raw.zrange(key, 0, -1), float("inf")))
        raw.srem("{put}:queues", "default")
        raw.delete("{put}:kw:word-1", sorted(sets)[3])
        last = max(sets)
        raw.srem(last, *raw.smembers(last))
        assert (await one_pass(session))[0] != []
        assert before == {
            key: raw.zrange(key, 0, -1, withscores=True) for key in agendas(raw)
        }
        assert sets == {key: raw.smembers(key) for key in raw.keys("{put*:k*:word*")}
        assert raw.smembers("{put}:queues") == {b"default"}
        assert (await one_pass(session))[0] == []
    finally:
        await session.close()


def agendas(raw: Client) -> list[bytes]:
    found: list[bytes] = raw.keys("{put:*}:a:*")
    return found


async def test_entries_without_records_are_taken_out(
    redis_url: str, raw: Client
) -> None:
    await load(redis_url, "out", far_jobs(5))
    (gone,) = ids_in(3, 1, shards=64)
    raw.zadd("{out:3}:a:default", {gone: float("inf")})
    raw.zadd("{out:3}:a:other", {gone: 2**60})
    raw.sadd("{out}:queues", "other")
    session = await RedisJobStore(redis_url).open("out", {})
    try:
        assert (await one_pass(session))[0] == [gone]
        assert raw.zscore("{out:3}:a:default", gone) is None
        assert raw.zscore("{out:3}:a:other", gone) is None
    finally:
        await session.close()


async def test_what_is_no_entry_is_put_aside(redis_url: str, raw: Client) -> None:
    """An agenda of another type, and members that can be nobody's job."""
    await load(redis_url, "put", far_jobs(300))
    session = await RedisJobStore(redis_url).open("put", {})
    try:
        before = {key: raw.zrange(key, 0, -1, withscores=True) for key in agendas(raw)}
        first, second, third = sorted(before)[:3]
        dump = another_type(raw, first.decode())
        (stray,) = ids_in(63, 1, shards=64)
        raw.zadd(second, {b"\xff\xfe": 7.0})
        raw.zadd(third, {stray: 5.0, raw.zrange(sorted(before)[9], 0, 0)[0]: 6.0})
        for _ in range(3):
            await one_pass(session)
        assert before == {
            key: raw.zrange(key, 0, -1, withscores=True) for key in agendas(raw)
        }
        aside = raw.keys("*quarantine*")
        lists = [key for key in aside if raw.type(key) == b"list"]
        assert [raw.dump(key) for key in lists] == [dump]
        parts = [raw.hgetall(key) for key in aside if key not in lists]
        assert {b"\xff\xfe": b"7"} in parts
        assert (await one_pass(session))[0] == []
        assert raw.keys("*quarantine*") == aside
    finally:
        await session.close()


async def test_a_head_full_of_garbage_hides_nothing(
    redis_url: str, raw: Client
) -> None:
    """More entries of other shards than a head has room for, before the real one."""
    job = Job("work", id="real", trigger=DateTrigger(FAR))
    await load(redis_url, "put", [job])
    (key,) = agendas(raw)
    shard = int(key.split(b":")[1].rstrip(b"}"))
    strays = ids_in((shard + 1) % 64, 1_500, shards=64)
    raw.zadd(key, dict.fromkeys(strays, 5.0))
    session = await RedisJobStore(redis_url).open("put", {})
    try:
        (head,) = await session.agenda([(shard, "default")], limit=100)
        assert [one for one, _ in head.entries] == ["real"]
        assert head.complete
    finally:
        await session.close()


async def test_agendas_that_are_gone_from_a_large_namespace_hurry_a_pass(
    redis_url: str, raw: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mend, "SMALL", 50)
    monkeypatch.setattr(mend, "SCANNED", 100)
    await load(redis_url, "put", far_jobs(400))
    session = await RedisJobStore(redis_url).open("put", {})
    try:
        await one_pass(session)
        told = await session.mend()
        assert not told.urgent
        raw.delete(*sorted(agendas(raw))[:3])
        assert (await session.mend()).urgent
        assert (await one_pass(session))[0] != []
        assert len(agendas(raw)) == 64
    finally:
        await session.close()


async def test_peers_mend_what_was_deleted_under_them(
    redis_url: str, raw: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every agenda is deleted under peers that work; each job runs on."""
    monkeypatch.setattr(mending, "TURN", 0.3)
    monkeypatch.setattr(mending, "COMMANDS", 1e6)
    monkeypatch.setattr(mending, "MOST", 1e6)
    ran: dict[str, int] = {}
    told: list[object] = []

    async def work(name: str) -> None:
        ran[name] = ran.get(name, 0) + 1

    terms = {"beat": 0.2, "member_timeout": 1.0, "shards": 8}
    names = [f"job-{n}" for n in range(8)]
    async with asyncio.timeout(60):
        first = Scheduler(redis_url, namespace="put", lease=3, terms=terms)
        first.register(work)
        async with first:
            for name in names:
                trigger = IntervalTrigger(seconds=0.5)
                await first.schedule(Job(work, id=name, args=(name,), trigger=trigger))
                await first.wait(name)
        # The next peer knows nothing but what stands in the agendas.
        raw.delete(*agendas(raw))
        second = Scheduler(redis_url, namespace="put")
        second.register(work)
        second.on("index_mended", told.append)
        async with second:
            ran.clear()
            for name in names:
                while not ran.get(name):
                    await second.wait(name)
            assert told
            raw.delete(*agendas(raw))
            ran.clear()
            for name in names:
                while not ran.get(name):
                    await second.wait(name)


async def test_a_keyword_that_was_used_once_is_forgotten(
    redis_url: str, raw: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "_AGE", 0.0)
    async with Scheduler(redis_url, namespace="once", run_jobs=False) as client:
        keep = await client.schedule(
            Job("work", id="keep", keyword="used"), allow_unknown=True
        )
        gone = await client.schedule(
            Job("work", id="gone", keyword="once"), allow_unknown=True
        )
        await client.remove_job(gone)
        assert raw.exists("{once}:kw:once")
        session = await RedisJobStore(redis_url).open("once", {})
        try:
            for _ in range(3):
                await one_pass(session)
        finally:
            await session.close()
        assert not raw.exists("{once}:kw:once")
        assert raw.exists("{once}:kw:used")
        # Who had entered it before enters it again.
        again = await client.schedule(
            Job("work", id="again", keyword="once"), allow_unknown=True
        )
        fired = await client.fire_job("once", {})
        assert [one.job_id for one in fired] == [again.id]
        assert [one.job_id for one in await client.fire_job("used", {})] == [keep.id]


async def test_the_sweep_spares_what_a_record_without_an_entry_uses(
    redis_url: str, raw: Client
) -> None:
    """A deleted agenda must not become a deleted job."""
    long_spec = ["a-tag-that-makes-the-spec-too-long-to-stand-in-the-record"]
    job = Job(
        "work",
        id="big",
        kwargs={"text": "x" * 2_000},
        trigger=DateTrigger(FAR),
        tags=long_spec,
    )
    await load(redis_url, "put", [job])
    raw.delete(*agendas(raw))
    raw.delete("{put}:queues")
    session = await RedisJobStore(redis_url).open("put", {})
    try:
        assert await session.sweep() == 0
        assert (await one_pass(session))[0] == ["big"]
        (found,) = (await session.read(["big"])).values()
        assert len(found.definition.arguments) > 2_000
        assert raw.smembers("{put}:queues") == {b"default"}
    finally:
        await session.close()
