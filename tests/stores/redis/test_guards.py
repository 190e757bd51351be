"""Guarded names on a server: one key, always with an end, and no doubt left."""

from __future__ import annotations

from typing import Any

import pytest

from aiosched import RedisJobStore
from aiosched.abc import Guarded, GuardStep
from aiosched.clock import SystemClock
from aiosched.errors import StoreDataError, StoreUnavailableError
from aiosched.instants import SECOND
from aiosched.stores.redis.doctor import doctor
from aiosched.stores.redis.store import RedisSession
from tests.stores.redis.garbage import Client
from tests.stores.redis.wire import KEYS, Proxy, Spy, opened
from tests.waiting import wait_until

CUTS = ["before", "after", "late"]
KEY = KEYS.guard(1, "job-2")
NAME = "job-2"
LONG = 60 * SECOND


@pytest.fixture
def redis_url(turn_url: str) -> str:
    return turn_url


async def take(session: RedisSession, token: str, ttl: int = LONG) -> Guarded:
    return await session.guard(GuardStep.TAKE, NAME, token, owner="me", ttl=ttl)


async def extend(session: RedisSession, token: str, ttl: int = LONG) -> Guarded:
    return await session.guard(GuardStep.EXTEND, NAME, token, ttl=ttl)


async def release(session: RedisSession, token: str) -> Guarded:
    return await session.guard(GuardStep.RELEASE, NAME, token)


# --- an EXEC without a reply ---


@pytest.mark.parametrize("cut", CUTS)
async def test_a_name_is_taken_once(redis_url: str, raw: Client, cut: str) -> None:
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        proxy.plan = [cut]
        mine = await take(session, "t1")
        assert mine.claim == "t1"
        stored = raw.get(KEY)
        await proxy.deliver()
        assert raw.get(KEY) == stored
        assert str(mine.fence).encode() in stored
        assert 0 < raw.pttl(KEY) <= 60_000
        assert (await take(session, "t2")).claim == "t1"


@pytest.mark.parametrize("cut", CUTS)
async def test_a_name_is_extended_or_known_to_be_lost(
    redis_url: str, raw: Client, cut: str
) -> None:
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await take(session, "t1", 10 * SECOND)
        proxy.plan = [cut]
        assert (await extend(session, "t1")).claim == "t1"
        await proxy.deliver()
        assert 50_000 < raw.pttl(KEY) <= 60_000


@pytest.mark.parametrize("cut", CUTS)
async def test_what_is_released_stays_so_and_the_next_keeps_it(
    redis_url: str, raw: Client, cut: str
) -> None:
    """An old EXEC that arrives late must not end the claim of the next."""
    async with Proxy(redis_url) as proxy, opened(proxy.url) as session:
        await take(session, "t1")
        proxy.plan = [cut]
        assert await release(session, "t1") == Guarded()
        assert (await take(session, "t2")).claim == "t2"
        await proxy.deliver()
        assert raw.get(KEY).startswith(b"t2|")
        assert raw.pttl(KEY) > 0


async def test_a_take_that_arrives_late_takes_nothing(
    redis_url: str, raw: Client
) -> None:
    """Somebody else has had the name meanwhile, and let it go."""
    async with (
        Proxy(redis_url) as proxy,
        opened(proxy.url) as session,
        opened(redis_url) as other,
    ):
        proxy.plan = ["late"]
        assert (await take(session, "t1")).claim == "t1"
        await release(session, "t1")
        await take(other, "t2")
        await release(other, "t2")
        await proxy.deliver()
        assert raw.get(KEY) is None


async def test_a_store_that_stays_away_leaves_it_in_doubt(
    redis_url: str, raw: Client
) -> None:
    async with Proxy(redis_url) as proxy:
        options: dict[str, Any] = {"exchange_timeout": 0.5}
        async with opened(proxy.url, **options) as session:
            await take(session, "t1", SECOND // 2)
            # Each new try shows that it is held, extends it, and loses the reply.
            proxy.plan = ["after"] * 100
            with pytest.raises(StoreUnavailableError) as caught:
                await extend(session, "t1", SECOND // 2)
            assert not caught.value.unwritten
            # Nobody holds it, and nobody need do anything about it.
            proxy.plan = []

            async def free() -> bool:
                return (await take(session, "t2")).claim == "t2"

            await wait_until(free, "the end of the claim")


# --- what is sent ---


async def test_the_key_is_written_with_its_end(redis_url: str, raw: Client) -> None:
    spy = Spy()
    async with opened(redis_url, connection_factory=spy) as session:
        spy.packets.clear()
        await take(session, "t1")
        assert spy.names() == ["WATCH", "GET", "PTTL", "TIME", "MULTI", "SET", "EXEC"]
        [[words]] = spy.transactions()
        assert words[0] == b"SET"
        assert words[3:] == [b"PX", b"60000", b"NX"]
        spy.packets.clear()
        await take(session, "t2")
        assert spy.names() == ["WATCH", "GET", "PTTL", "TIME", "MULTI"], "no write"
        spy.packets.clear()
        await extend(session, "t1")
        await release(session, "t1")
        written = [words[0] for one in spy.transactions() for words in one]
        assert written == [b"PEXPIRE", b"DEL"]
        assert raw.get(KEY) is None


async def test_a_hand_that_took_the_end_away_makes_no_name_held_for_ever(
    redis_url: str, raw: Client
) -> None:
    async with opened(redis_url) as session:
        await take(session, "t1")
        raw.persist(KEY)
        assert (await take(session, "t2")).claim == "t1"
        assert 0 < raw.pttl(KEY) <= 60_000


async def test_a_fraction_of_a_millisecond_is_rounded_up(
    redis_url: str, raw: Client
) -> None:
    async with opened(redis_url) as session:
        await take(session, "t1", 5_000_001)
        assert 4_000 < raw.pttl(KEY) <= 5_001


# --- damage ---


@pytest.mark.parametrize("garbage", [b"", b"x", b"t|x|o", b"|1|o", b"\xff|1|o"])
async def test_what_is_no_claim_is_left_alone_and_found(
    redis_url: str, raw: Client, garbage: bytes
) -> None:
    async with opened(redis_url) as session:
        raw.set(KEY, garbage)
        for ask in (take, extend):
            with pytest.raises(StoreDataError) as caught:
                await ask(session, "t1")
            assert caught.value.key == KEY
            assert caught.value.unwritten
        assert raw.get(KEY) == garbage
        wall = SystemClock().wall
        async with doctor(RedisJobStore(redis_url), "t", wall) as one:
            found = [d.kind for d in await one.examine() if d.key == KEY]
            assert found == ["guard-unreadable"]
            await one.fix(allowed=True)
        assert raw.get(KEY) is None
        assert (await take(session, "t1")).claim == "t1"


async def test_another_type_is_reported(redis_url: str, raw: Client) -> None:
    async with opened(redis_url) as session:
        raw.rpush(KEY, "x")
        with pytest.raises(StoreDataError):
            await take(session, "t1")
        assert raw.type(KEY) == b"list"


async def test_the_doctor_knows_a_guard(redis_url: str, raw: Client) -> None:
    async with opened(redis_url) as session:
        await take(session, "t1")
        wall = SystemClock().wall
        async with doctor(RedisJobStore(redis_url), "t", wall) as one:
            assert [d for d in await one.examine() if d.key == KEY] == []
        await session.mend()
        await session.sweep()
        assert raw.get(KEY) is not None
