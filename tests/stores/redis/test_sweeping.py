"""What is deleted for want of users, while somebody begins to use it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aiosched.abc import ExecutorInfo
from aiosched.instants import DAY
from aiosched.stores.redis import sweep, words
from aiosched.stores.redis.words import KeywordWalk
from aiosched.testing.contract_decisions import create, erase, ids_in
from tests.stores.redis.garbage import Client
from tests.stores.redis.wire import IDS, KEYS, Spy, opened

LONG = ("a-tag-that-makes-the-spec-too-long-to-stand-in-the-record",)


@pytest.fixture
def redis_url(turn_url: str) -> str:
    """One server or the other: that all do the same is what other tests show."""
    return turn_url


class Shifted:
    """A clock that can be set."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.ahead = 0.0

    def monotonic(self) -> float:
        seconds: float = self.clock.monotonic()
        return seconds + self.ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(self.clock, name)


async def look(walk: KeywordWalk) -> None:
    """Do what the end of a pass does that has met one keyword."""
    walk._words = {"word"}
    await walk.clear()


@pytest.mark.parametrize("moment", ["SREM", "EXISTS"])
async def test_a_job_that_is_subscribed_while_its_keyword_is_forgotten(
    redis_url: str, raw: Client, moment: str
) -> None:
    """Stopped between its look and the removal, or right behind the removal."""
    async with opened(redis_url) as mender, opened(redis_url) as peer:
        await peer.transact(IDS, create(5, keyword="word"))
        await peer.transact(IDS, erase())
        link: Any = mender._link
        clock = link.clock = Shifted(link.clock)
        walk = KeywordWalk(link)
        await look(walk)
        clock.ahead = words._AGE + 1
        removed = False
        real = link.ask
        subscribed: list[str] = []

        async def ask(commands: Any, **options: Any) -> Any:
            nonlocal removed
            name = commands[0][0]
            if name == "SREM":
                removed = True
            if name == moment and removed and not subscribed:
                subscribed.extend(IDS)
                await peer.transact(IDS, create(5, keyword="word"))
            return await real(commands, **options)

        link.ask = ask
        await look(walk)
        assert subscribed
        assert sorted(await peer.by_keyword("word")) == sorted(IDS)
        assert raw.exists(KEYS.keyword_shards("word"))


async def test_a_keyword_that_was_used_meanwhile_has_its_time_from_the_start(
    redis_url: str, raw: Client
) -> None:
    async with opened(redis_url) as mender, opened(redis_url) as peer:
        key = KEYS.keyword_shards("word")
        await peer.transact(IDS, create(5, keyword="word"))
        await peer.transact(IDS, erase())
        link: Any = mender._link
        clock = link.clock = Shifted(link.clock)
        walk = KeywordWalk(link)
        await look(walk)
        clock.ahead = words._AGE / 2
        await peer.transact(IDS, create(5, keyword="word"))
        await look(walk)  # this sees it in use
        await peer.transact(IDS, erase())
        clock.ahead = words._AGE + 1
        await look(walk)
        assert raw.exists(key)
        clock.ahead = words._AGE * 2
        await look(walk)
        assert raw.exists(key)
        clock.ahead = words._AGE * 2 + 2
        await look(walk)
        assert not raw.exists(key)


@pytest.mark.parametrize("moment", ["before WATCH", "before EXEC"])
async def test_an_executor_that_is_advertised_while_it_is_swept(
    redis_url: str, raw: Client, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    async with opened(redis_url) as one, opened(redis_url) as two:
        back = ExecutorInfo("back", (), "default", 0)
        gone = ExecutorInfo("gone", (), "default", 0)
        await two.advertise([back, gone])
        for name in ("back", "gone"):
            value = json.loads(raw.hget(KEYS.executors, name) or b"")
            value[0] -= 8 * DAY
            raw.hset(KEYS.executors, name, json.dumps(value))
        link: Any = one._link
        watch, committed = link.watch, sweep._committed
        hits = []

        async def watching(*args: Any) -> Any:
            if moment == "before WATCH":
                hits.append(await two.advertise([back]))
            return await watch(*args)

        async def committing(*args: Any) -> bool:
            if moment == "before EXEC":
                hits.append(await two.advertise([back]))
            return await committed(*args)

        link.watch = watching
        monkeypatch.setattr(sweep, "_committed", committing)
        swept = await one.sweep()
        assert len(hits) == 1
        assert set(await two.catalogue()) == {"back"}
        assert swept == (1 if moment == "before WATCH" else 0)
        link.watch = watch
        monkeypatch.setattr(sweep, "_committed", committed)
        await one.sweep()
        assert raw.hkeys(KEYS.executors) == [b"back"]


async def test_a_sweep_scans_the_database_once(redis_url: str, raw: Client) -> None:
    """However many shards have something to delete, and with nothing watched."""
    spy = Spy()
    with raw.pipeline() as pipe:
        for n in range(3_000):
            pipe.set(f"app:{n}", "1")
        pipe.execute()
    async with opened(
        redis_url, shards=16, namespace="once", connection_factory=spy
    ) as one:
        keys = one._link.keys
        for shard in range(16):
            raw.set(f"{keys.tags[shard]}:x:abcdefghijkl", "1")
            raw.sadd(keys.shared(shard), "x:abcdefghijkl")
        spy.packets.clear()
        assert await one.sweep() == 16
        sent = [words for packet in spy.packets for words in packet]
        scans = [n for n, words in enumerate(sent) if words[0] == b"SCAN"]
        watches = [n for n, words in enumerate(sent) if words[0] == b"WATCH"]
        assert [sent[n][1] for n in scans].count(b"0") == 1
        assert len(watches) == 16
        assert max(scans) < min(watches)
        assert not raw.keys("{once:*:x*")


async def test_a_sweep_of_a_cluster(cluster_url: str) -> None:
    """Names on all masters are told from those that are used."""
    async with opened(cluster_url, shards=16) as one:
        for shard in range(16):
            ids = ids_in(shard, 3, shards=16)
            await one.transact(ids[:1], create(5, tags=("gone", *LONG)))
            await one.transact(ids[:1], erase())
            await one.transact(ids[1:], create(5, tags=LONG))
        assert await one.sweep() == 16
        assert await one.sweep() == 0
    async with opened(cluster_url, shards=16) as fresh:
        assert len((await fresh.list(limit=1000)).records) == 32


async def test_a_spec_that_is_used_again_since_the_scan(
    redis_url: str, raw: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(redis_url) as one, opened(redis_url) as two:
        ids = ids_in(2, 2)
        await two.transact(ids[:1], create(5, tags=LONG))
        await two.transact(ids[:1], erase())
        (before,) = raw.keys(f"{KEYS.tags[2]}:x:*")
        keep_used = sweep._keep_used

        async def scanning(*args: Any) -> None:
            await keep_used(*args)
            await two.transact(ids[1:], create(5, tags=LONG))

        monkeypatch.setattr(sweep, "_keep_used", scanning)
        assert await one.sweep() == 0
        assert raw.keys(f"{KEYS.tags[2]}:x:*") == [before]
        assert (await one.read(ids[1:])).keys() == set(ids[1:])
        monkeypatch.setattr(sweep, "_keep_used", keep_used)
        await two.transact(ids[1:], erase())
        assert await one.sweep() == 1
